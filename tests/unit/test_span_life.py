"""How a span begins and ends: `with`, `async with`, start and end, left by hand, by exception, or never."""

from __future__ import annotations

import asyncio
import copy
import gc
import weakref

import ironspan
import pytest
from ironspan.testing import IncrementalIds, ManualClock, MemoryExporter, tree


def test_a_span_starts_when_it_is_entered_and_not_before(ironspan_trace: MemoryExporter) -> None:
    with ManualClock(0) as clock:
        span = ironspan.span("x")
        clock.advance(1)
        with span:
            clock.advance(2)
        done = ironspan_trace.find("x")
    assert (done.start_ns, done.end_ns) == (1_000_000_000, 3_000_000_000)


def test_a_span_that_never_starts_is_nothing(ironspan_trace: MemoryExporter) -> None:
    before = ironspan.stats()["created"]
    span = ironspan.span("x", input="prepared")
    span.set("a", 1)
    del span
    assert ironspan_trace.spans == []
    assert ironspan.stats()["created"] == before


def test_what_is_set_before_the_start_is_kept(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x").set("a", 1)
    with span:
        pass
    assert ironspan_trace.find("x").attributes["a"] == 1


def test_the_parent_is_the_one_at_the_start_and_not_at_the_construction(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("first"):
        span = ironspan.span("x")
    with ironspan.span("second"), span:
        pass
    assert tree(ironspan_trace.spans) == "span first\nspan second\n  span x"


def test_with_gives_the_span_and_makes_it_current(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x")
    with span as entered:
        assert entered is span
        assert ironspan.current() is span
    assert not ironspan.current().recording


def test_async_with_gives_the_span_and_makes_it_current(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        async with ironspan.agent("a") as outer:
            assert ironspan.current() is outer
            async with ironspan.tool("t") as inner:
                await asyncio.sleep(0)
                assert ironspan.current() is inner
            assert ironspan.current() is outer

    asyncio.run(main())
    assert tree(ironspan_trace.spans) == "agent a\n  tool t"


def test_start_makes_no_span_current(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("outer") as outer:
        span = ironspan.span("x").start()
        assert ironspan.current() is outer
        with ironspan.span("sibling"):
            pass
        assert span.end() is None
    assert tree(ironspan_trace.spans) == "span outer\n  span x\n  span sibling"


def test_a_started_span_can_be_entered(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x").start()
    with span, ironspan.span("below"):
        pass
    assert tree(ironspan_trace.spans) == "span x\n  span below"


def test_starting_or_entering_twice_changes_nothing(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x")
    span.start().start()
    with span:
        identity = span.span_id
        with span:
            assert span.span_id == identity
    assert len(ironspan_trace.spans) == 1
    assert not ironspan.current().recording


def test_an_ended_span_that_is_entered_again_is_not_current(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        pass
    with ironspan.span("outer") as outer, span:
        assert ironspan.current() is outer
    assert sorted(done.name for done in ironspan_trace.spans) == ["outer", "x"]


def test_end_inside_with_is_the_end(ironspan_trace: MemoryExporter) -> None:
    with ManualClock(0) as clock:
        with ironspan.span("x") as span:
            clock.advance(1)
            span.end()
            clock.advance(1)
        assert ironspan_trace.find("x").end_ns == 1_000_000_000


def test_a_span_that_ended_inside_its_block_is_not_current_after_it(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("outer") as outer:
        with ironspan.span("early") as early:
            early.end()
        assert ironspan.current() is outer
    assert not ironspan.current().recording


def test_a_handle_that_goes_away_leaves_an_abandoned_span(ironspan_trace: MemoryExporter) -> None:
    ironspan.agent("a", input="question").start()
    done = ironspan_trace.find("invoke_agent a")
    assert (done.status, done.status_message) == ("abandoned", "")
    assert done.attributes["ironspan.abandoned"] is True
    assert done.attributes["ironspan.status"] == "abandoned"
    assert done.attributes["input.value"] == "question"
    assert ironspan.stats()["open_spans"] == 0


def test_open_spans_are_counted(ironspan_trace: MemoryExporter) -> None:
    before = ironspan.stats()
    spans = [ironspan.span("x").start() for _ in range(5)]
    assert ironspan.stats()["open_spans"] == before["open_spans"] + 5
    assert ironspan.stats()["created"] == before["created"]
    for span in spans:
        span.end()
    ironspan.flush()
    after = ironspan.stats()
    assert (after["open_spans"], after["created"]) == (before["open_spans"], before["created"] + 5)


def test_a_span_is_freed_when_its_handle_goes(ironspan_trace: MemoryExporter) -> None:
    gc.disable()
    try:
        with ironspan.span("x") as span:
            reference = weakref.ref(span)
        del span
        assert reference() is None
    finally:
        gc.enable()


def test_a_span_in_a_reference_cycle_is_collected_and_abandoned(ironspan_trace: MemoryExporter) -> None:
    class Holder:
        span: ironspan.Span

    holder = Holder()
    holder.span = ironspan.span("x").start()
    holder.__dict__["self"] = holder
    del holder
    gc.collect()
    assert ironspan_trace.find("x").status == "abandoned"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copied_handle_is_the_same_span(duplicate: object, ironspan_trace: MemoryExporter) -> None:
    assert callable(duplicate)
    with ironspan.span("x") as span:
        assert duplicate(span) is span
        assert duplicate({"span": [span]})["span"][0] is span
    assert len(ironspan_trace.spans) == 1


def test_siblings_and_children_make_the_tree(ironspan_trace: MemoryExporter) -> None:
    with IncrementalIds(), ironspan.workflow("w"):
        with ironspan.agent("a"):
            with ironspan.generation("m"):
                pass
            with ironspan.tool("t"), ironspan.retrieval("q", source="s"):
                pass
        with ironspan.agent("b"):
            pass
    assert tree(ironspan_trace.spans) == (
        "workflow w\n  agent a\n    generation m\n    tool t\n      retrieval s\n  agent b"
    )
    assert len({span.trace_id for span in ironspan_trace.spans}) == 1


def test_a_named_parent_wins_over_the_current_span(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("a") as a:
        pass
    with ironspan.span("b"), ironspan.span("child", parent=a), ironspan.span("grandchild"):
        pass
    assert tree(ironspan_trace.spans) == "span a\n  span child\n    span grandchild\nspan b"


def test_without_init_spans_work_and_go_nowhere() -> None:
    with ironspan.span("x") as span:
        span.set("a", 1).event("e").input("i")
        assert ironspan.current() is not None
