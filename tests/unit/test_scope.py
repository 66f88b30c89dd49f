"""`scope`: session, user, tags, metadata and baggage on every span below, however deep and in whatever task."""

from __future__ import annotations

import asyncio
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter


def attributes(trace: MemoryExporter, name: str) -> dict[str, Any]:
    return trace.find(name).attributes


def test_a_scope_is_on_every_span_below_and_on_no_other(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("before"), ironspan.scope(session="s1", user="u1", tags=["a"], metadata={"tier": "gold", "n": 1}):
        with ironspan.agent("agent"), ironspan.tool("tool"):
            pass
    with ironspan.span("after"):
        pass
    for name in ("invoke_agent agent", "execute_tool tool"):
        found = attributes(ironspan_trace, name)
        assert (found["session.id"], found["gen_ai.conversation.id"], found["user.id"]) == ("s1", "s1", "u1")
        assert found["ironspan.tags"] == ["a"]
        assert (found["tier"], found["n"]) == ("gold", 1)
    for name in ("before", "after"):
        assert attributes(ironspan_trace, name) == {"ironspan.kind": "span"}


def test_an_inner_scope_adds_and_overrides(ironspan_trace: MemoryExporter) -> None:
    with (
        ironspan.scope(session="s1", user="u1", tags=["a"], metadata={"k": 1, "only outer": 2}),
        ironspan.scope(session="s2", tags=["b", "a"], metadata={"k": 3}),
    ):
        with ironspan.span("inner"):
            pass
    found = attributes(ironspan_trace, "inner")
    assert (found["session.id"], found["user.id"]) == ("s2", "u1")
    assert found["ironspan.tags"] == ["a", "b"]
    assert (found["k"], found["only outer"]) == (3, 2)


def test_what_the_span_itself_says_wins(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(session="s1", user="u1", tags=["a"], metadata={"k": 1}):
        with ironspan.span("x", attributes={"k": 2, "session.id": "own"}, tags=["b"]) as span:
            span.set("user.id", "own")
    found = attributes(ironspan_trace, "x")
    assert (found["k"], found["session.id"], found["user.id"]) == (2, "own", "own")
    assert sorted(found["ironspan.tags"]) == ["a", "b"]


def test_a_scope_is_no_span(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root, ironspan.scope(session="s1"):
        assert ironspan.current() is root
        with ironspan.span("below"):
            pass
    assert ironspan_trace.find("below").parent_id == root.span_id
    assert len(ironspan_trace.spans) == 2


def test_a_scope_alone_has_no_current_span(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(session="s1"):
        assert not ironspan.current().recording
        with ironspan.span("root"):
            pass
    assert ironspan_trace.find("root").parent_id is None


def test_a_scope_reaches_tasks_and_ends_where_it_is_left(ironspan_trace: MemoryExporter) -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(0)
        with ironspan.span(name):
            pass

    async def main() -> None:
        async with ironspan.scope(session="s1"):
            await asyncio.gather(work("a"), work("b"))
        await work("c")

    asyncio.run(main())
    assert attributes(ironspan_trace, "a")["session.id"] == "s1"
    assert attributes(ironspan_trace, "b")["session.id"] == "s1"
    assert "session.id" not in attributes(ironspan_trace, "c")


def test_scopes_of_two_tasks_do_not_mix(ironspan_trace: MemoryExporter) -> None:
    async def serve(user: str) -> None:
        with ironspan.scope(user=user):
            await asyncio.sleep(0)
            with ironspan.span(user):
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(serve(f"u{at}") for at in range(10)))

    asyncio.run(main())
    assert {span.name: span.attributes["user.id"] for span in ironspan_trace.spans} == {
        f"u{at}": f"u{at}" for at in range(10)
    }


def test_a_scope_can_be_entered_again_after_it_was_left(ironspan_trace: MemoryExporter) -> None:
    scope = ironspan.scope(session="s1")
    for name in ("a", "b"):
        with scope, ironspan.span(name):
            pass
    assert [span.attributes["session.id"] for span in ironspan_trace.spans] == ["s1", "s1"]


def test_baggage_travels_and_merges(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(baggage={"tenant": "t1", "plan": "free"}), ironspan.scope(baggage={"plan": "pro, ünï"}):
        with ironspan.span("x"):
            headers = ironspan.inject({})
    assert ironspan.extract(headers).baggage == {"tenant": "t1", "plan": "pro, ünï"}
    assert not any("tenant" in key for key in attributes(ironspan_trace, "x"))


def test_a_scope_of_the_caller_holds_below_a_named_parent_of_its_own(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(session="s1"), ironspan.span("parent") as parent:
        pass
    with ironspan.span("child", parent=parent):
        pass
    assert attributes(ironspan_trace, "child")["session.id"] == "s1"


@pytest.mark.parametrize(
    "options",
    [
        {"session": 7, "user": 8},
        {"tags": 7},
        {"tags": "one"},
        {"tags": [None, object(), 7]},
        {"metadata": 7},
        {"metadata": {1: object()}},
        {"baggage": "text"},
        {"baggage": {1: None}},
    ],
)
def test_odd_arguments_are_survived(options: dict[str, Any], ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(**options), ironspan.span("x") as span:
        span.set("kept", 1)
    assert attributes(ironspan_trace, "x")["kept"] == 1


def test_a_number_as_session_becomes_text(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(session=7), ironspan.span("x"):
        pass
    assert attributes(ironspan_trace, "x")["session.id"] == "7"
