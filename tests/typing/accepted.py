"""What a type checker has to accept, and the types that it has to see. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any

import ironspan
from typing_extensions import assert_type

if TYPE_CHECKING:
    from ironspan._core import DestinationStats, Stats


@ironspan.span
def bare(text: str, *, times: int = 1) -> list[str]:
    return [text] * times


@ironspan.agent("named", role="planner")
def named(text: str) -> int:
    return len(text)


@ironspan.workflow
async def coroutine(text: str) -> bytes:
    return text.encode()


@ironspan.generation("gpt-4o", provider="openai", params={"temperature": 0.2})
def generator(count: int) -> Generator[int, str, float]:
    sent = yield count
    return float(len(sent))


@ironspan.retrieval
async def async_generator(query: str) -> AsyncGenerator[str, None]:
    yield query


class Toolbox:
    @ironspan.tool
    def method(self, query: str) -> str:
        return query

    @ironspan.tool("shared", call_id="call_1", description="looks things up")
    @classmethod
    def shared(cls, query: str) -> Toolbox:
        return cls()

    @ironspan.tool("fixed")
    @staticmethod
    def fixed(query: str) -> float:
        return float(query)


async def decorated_functions_keep_their_types() -> None:
    assert_type(bare("a", times=2), list[str])
    assert_type(named("a"), int)
    assert_type(await coroutine("a"), bytes)
    assert_type(generator(1), Generator[int, str, float])
    assert_type(async_generator("a"), AsyncGenerator[str, None])
    assert_type(Toolbox().method("a"), str)
    assert_type(Toolbox.shared("a"), Toolbox)
    assert_type(Toolbox.fixed("1"), float)


async def spans_are_context_managers() -> None:
    with ironspan.span("step", kind="guardrail", otel_kind="server", tags=["a"], links=[("00-1-2-01", "cause")]) as one:
        assert_type(one, ironspan.Span)
    async with ironspan.agent("a", description="b", parent=one.context) as two:
        assert_type(two, ironspan.Span)
    with ironspan.scope(session="s", tags="t", metadata={"a": 1}), ironspan.attach(two):
        assert_type(ironspan.current(), ironspan.Span)


def a_with_block_does_not_swallow() -> int:
    with ironspan.span("step"):
        return 1


def methods_chain() -> None:
    call = ironspan.generation("m", messages=[{"role": "user", "content": "hi"}], tools=[{"name": "t"}], name="answer")
    ended = (
        call.start().set("k", {"deep": [1]}).update({"a": 1}).input("x").output(b"y").error(ValueError("no")).start(1)
    )
    assert_type(ended, ironspan.Span)
    ended.event("e", level="warning", cause=1).error("text").tag("a", b=1).link(call, role="retry").link("00-1-2-01")
    ended.usage(input=1, output=2, cached=0, cache_write=0, reasoning=None).cost(total=0.5).finish("stop").finish(None)
    ended.documents([{"content": "a", "score": 0.5}]).end(time=2)
    assert_type(ended.trace_id, str)
    assert_type(ended.context.traceparent, str | None)


def streams_keep_their_chunks(numbers: list[int], words: AsyncIterator[str]) -> None:
    assert_type(ironspan.current().stream(numbers), Iterator[int])
    assert_type(ironspan.current().stream(words), AsyncIterator[str])


def carriers_keep_their_types(pairs: list[tuple[str, bytes]]) -> None:
    assert_type(ironspan.inject(), dict[str, str])
    assert_type(ironspan.inject(pairs), list[tuple[str, bytes]])
    assert_type(ironspan.extract({"traceparent": "x"}), ironspan.SpanContext)
    assert_type(ironspan.environment({"PATH": "/bin"}), dict[str, str])


def counts_have_names() -> None:
    counts = ironspan.stats()
    assert_type(counts["dropped"], dict[str, int])
    assert_type(counts["destinations"]["otlp"]["last_error"], str | None)
    assert_type(ironspan.flush().in_time, bool)
    assert_type(ironspan.shutdown(timeout=1).delivered, int)
    kept: Stats = counts
    one: DestinationStats = kept["destinations"]["otlp"]
    print(one["health"])


def submodules_need_no_import_of_their_own() -> None:
    exporter = ironspan.testing.MemoryExporter()
    assert_type(exporter.spans[0].name, str)
    ironspan.init(exporters=[exporter])


def configuration(path: str, anything: Any) -> None:
    ironspan.init()
    ironspan.init("name", exporters=[ironspan.exporters.File(path)], sample=0.5, limits={"events": 1}, store=None)
    ironspan.init(exporters="env", sample="always_on", resource={"team": "search"}, threads=False, strict=anything)
