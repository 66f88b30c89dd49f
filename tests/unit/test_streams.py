"""`span.stream(...)`: what passes through is untouched, what was seen is written, however the stream ends."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan, ManualClock, MemoryExporter


def recorded(trace: MemoryExporter) -> FinishedSpan:
    (span,) = trace.spans
    return span


def said(span: FinishedSpan) -> Any:
    (message,) = json.loads(span.attributes["gen_ai.output.messages"])
    return message["parts"][0]["content"]


def words() -> Iterator[str]:
    yield from ("one ", "two ", "three")


async def async_words() -> AsyncIterator[str]:
    for word in words():
        yield word


def test_a_stream_of_text_becomes_the_output(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        assert list(span.stream(words())) == ["one ", "two ", "three"]
    done = recorded(ironspan_trace)
    assert (said(done), done.status, done.attributes["ironspan.stream.chunks"]) == ("one two three", "ok", 3)
    assert done.attributes["gen_ai.request.stream"] is True


def test_the_first_chunk_is_timed_from_the_start_of_the_span(ironspan_trace: MemoryExporter) -> None:
    with ManualClock() as clock:
        with ironspan.generation("m") as span:
            stream = span.stream(words())
            clock.advance(2)
            next(stream)
            clock.advance(5)
            list(stream)
        assert recorded(ironspan_trace).attributes["gen_ai.response.time_to_first_chunk"] == 2.0


def test_chunks_are_the_very_objects(ironspan_trace: MemoryExporter) -> None:
    chunks: list[Any] = [object(), {"delta": "a"}, None, []]
    with ironspan.span("x") as span:
        passed = list(span.stream(chunks))
    assert all(one is other for one, other in zip(passed, chunks, strict=True))
    assert recorded(ironspan_trace).attributes["ironspan.stream.chunks"] == 4


@pytest.mark.parametrize("held", [True, False])
def test_a_stream_left_half_way_keeps_what_it_had_and_is_cancelled(
    held: bool, ironspan_trace: MemoryExporter
) -> None:
    before = ironspan.stats()["late_calls"]
    keep: list[Any] = []
    with ironspan.generation("m") as span:
        stream = span.stream(words())
        if held:
            keep.append(stream)
        for _ in stream:
            break
        del stream
    keep.clear()
    done = recorded(ironspan_trace)
    assert (said(done), done.status, done.attributes["ironspan.stream.chunks"]) == ("one ", "cancelled", 1)
    assert ironspan.stats()["late_calls"] == before


def test_a_closed_stream_closes_its_source_and_is_cancelled(ironspan_trace: MemoryExporter) -> None:
    closed = []

    def source() -> Iterator[str]:
        try:
            yield from words()
        finally:
            closed.append(True)

    with ironspan.generation("m") as span:
        stream = span.stream(source())
        next(stream)
        stream.close()
        assert closed == [True]
    assert (said(recorded(ironspan_trace)), recorded(ironspan_trace).status) == ("one ", "cancelled")


def test_a_failing_stream_keeps_what_it_had_and_raises_the_very_error(ironspan_trace: MemoryExporter) -> None:
    failure = ConnectionError("reset")

    def source() -> Iterator[str]:
        yield "half"
        raise failure

    with pytest.raises(ConnectionError) as caught, ironspan.generation("m") as span:
        list(span.stream(source()))
    assert caught.value is failure
    done = recorded(ironspan_trace)
    assert (said(done), done.status, done.status_message) == ("half", "error", "reset")
    assert len(done.events) <= 2


def test_a_failure_that_the_caller_handles_is_still_the_span_s_error(ironspan_trace: MemoryExporter) -> None:
    def source() -> Iterator[str]:
        yield "half"
        raise ConnectionError("reset")

    with ironspan.generation("m") as span, pytest.raises(ConnectionError):
        list(span.stream(source()))
    assert recorded(ironspan_trace).status == "error"


def test_an_error_is_not_covered_up_by_a_dropped_stream(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        stream = span.stream(words())
        next(stream)
        span.error("rate limit")
        stream.close()
    assert recorded(ironspan_trace).status == "error"


def test_a_span_that_ends_by_hand_settles_its_stream(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.generation("m").start()
    stream = span.stream(words())
    next(stream)
    span.end()
    assert (said(recorded(ironspan_trace)), recorded(ironspan_trace).status) == ("one ", "cancelled")


def test_a_stream_nobody_reads_says_nothing_about_the_span(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        stream = span.stream(words())
    assert recorded(ironspan_trace).status == "ok"
    assert list(stream) == ["one ", "two ", "three"]


def test_a_span_whose_handle_and_stream_are_dropped_is_abandoned(ironspan_trace: MemoryExporter) -> None:
    gc.disable()
    try:
        stream = ironspan.generation("m").start().stream(words())
        next(stream)
        del stream
        assert recorded(ironspan_trace).status == "abandoned"
    finally:
        gc.enable()


def test_an_async_stream_becomes_the_output(ironspan_trace: MemoryExporter) -> None:
    async def main() -> list[str]:
        async with ironspan.generation("m") as span:
            return [chunk async for chunk in span.stream(async_words())]

    assert asyncio.run(main()) == ["one ", "two ", "three"]
    done = recorded(ironspan_trace)
    assert (said(done), done.status, done.attributes["ironspan.stream.chunks"]) == ("one two three", "ok", 3)


def test_an_async_stream_left_half_way_is_cancelled(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        async with ironspan.generation("m") as span:
            stream = span.stream(async_words())
            async for _ in stream:
                break
            await stream.aclose()

    asyncio.run(main())
    assert (said(recorded(ironspan_trace)), recorded(ironspan_trace).status) == ("one ", "cancelled")


def test_a_cancelled_async_stream_is_cancelled_and_no_error(ironspan_trace: MemoryExporter) -> None:
    async def source(started: asyncio.Event) -> AsyncIterator[str]:
        yield "half"
        started.set()
        await asyncio.Event().wait()

    async def read(started: asyncio.Event) -> None:
        async with ironspan.generation("m") as span:
            async for _ in span.stream(source(started)):
                pass

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(read(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    done = recorded(ironspan_trace)
    assert (said(done), done.status, done.events) == ("half", "cancelled", [])


def test_an_async_stream_that_fails_raises_the_very_error(ironspan_trace: MemoryExporter) -> None:
    failure = ConnectionError("reset")

    async def source() -> AsyncIterator[str]:
        yield "half"
        raise failure

    async def main() -> None:
        async with ironspan.generation("m") as span:
            async for _ in span.stream(source()):
                pass

    with pytest.raises(ConnectionError) as caught:
        asyncio.run(main())
    assert caught.value is failure
    assert (said(recorded(ironspan_trace)), recorded(ironspan_trace).status) == ("half", "error")


def test_attributes_of_the_source_shine_through(ironspan_trace: MemoryExporter) -> None:
    class Response:
        request_id = "r1"

        def __iter__(self) -> Iterator[str]:
            return words()

    with ironspan.span("x") as span:
        stream = span.stream(Response())
        assert stream.request_id == "r1"
        with pytest.raises(AttributeError):
            stream.nothing  # noqa: B018
        list(stream)


@pytest.mark.parametrize("value", [None, 7, object()])
def test_what_is_no_stream_comes_back_as_it_is(value: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        assert span.stream(value) is value


def test_a_stream_through_an_ended_span_still_streams(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        pass
    assert list(span.stream(words())) == ["one ", "two ", "three"]


def test_a_very_long_stream_keeps_a_bounded_output(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        count = sum(1 for _ in span.stream("x" * 1000 for _ in range(6_000)))
    assert count == 6_000
    done = recorded(ironspan_trace)
    assert done.attributes["ironspan.stream.chunks"] == 6_000
    assert len(done.attributes["output.value"]) == 4_000_000
