"""The current span across tasks, generators and copied contexts: every child finds its parent, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter, tree
from tests.support.processes import run_python


async def step(name: str) -> None:
    with ironspan.span(name):
        await asyncio.sleep(0)
        with ironspan.span(f"{name}-inner"):
            await asyncio.sleep(0)


def children(trace: MemoryExporter, name: str) -> list[str]:
    parent = trace.find(name).span_id
    return sorted(span.name for span in trace.spans if span.parent_id == parent)


def test_current_is_a_span_that_records_nothing_when_there_is_none(ironspan_trace: MemoryExporter) -> None:
    current = ironspan.current()
    assert isinstance(current, ironspan.Span)
    assert not current.recording
    assert not current.context
    assert current.set("a", 1).event("e").input(1).output(2).error("x").tag("t") is current
    with current:
        pass
    current.end()
    assert ironspan.current() is current
    assert ironspan_trace.spans == []


def test_gather_gives_every_branch_the_same_parent(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        async with ironspan.agent("root"):
            await asyncio.gather(*(step(f"s{at}") for at in range(20)))

    asyncio.run(main())
    assert children(ironspan_trace, "invoke_agent root") == sorted(f"s{at}" for at in range(20))
    for at in range(20):
        assert children(ironspan_trace, f"s{at}") == [f"s{at}-inner"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with 3.11")
def test_a_task_group_gives_every_task_the_same_parent(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        async with ironspan.agent("root"), asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
            for at in range(5):
                group.create_task(step(f"s{at}"))

    asyncio.run(main())
    assert children(ironspan_trace, "invoke_agent root") == [f"s{at}" for at in range(5)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with 3.11")
def test_a_failing_task_group_cancels_its_siblings_spans(ironspan_trace: MemoryExporter) -> None:
    async def waits() -> None:
        with ironspan.span("waits"):
            await asyncio.Event().wait()

    async def fails() -> None:
        with ironspan.span("fails"):
            await asyncio.sleep(0)
            raise ValueError("bad")

    async def main() -> None:
        with ironspan.span("root"):
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
                group.create_task(waits())
                group.create_task(fails())

    with pytest.raises(BaseException, match="unhandled errors"):
        asyncio.run(main())
    assert {span.name: span.status for span in ironspan_trace.spans} == {
        "waits": "cancelled",
        "fails": "error",
        "root": "error",
    }


def test_a_task_that_outlives_its_parent_still_has_it(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def late() -> None:
            await release.wait()
            with ironspan.span("late"):
                pass

        with ironspan.span("root"):
            task = asyncio.create_task(late())
        release.set()
        await task

    asyncio.run(main())
    assert tree(ironspan_trace.spans) == "span root\n  span late"


def test_a_span_inside_a_task_does_not_leak_out_of_it(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        opened, close = asyncio.Event(), asyncio.Event()

        async def holds() -> None:
            with ironspan.span("held"):
                opened.set()
                await close.wait()

        task = asyncio.create_task(holds())
        await opened.wait()
        with ironspan.span("beside"):
            assert ironspan.current().name == "beside"
        close.set()
        await task

    asyncio.run(main())
    assert all(span.parent_id is None for span in ironspan_trace.spans)


def test_threads_of_asyncio_inherit(ironspan_trace: MemoryExporter) -> None:
    def work(name: str) -> None:
        with ironspan.span(name):
            pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ironspan.agent("root"):
            await asyncio.to_thread(work, "to_thread")
            await loop.run_in_executor(None, work, "default executor")
            with ThreadPoolExecutor(1) as pool:
                await loop.run_in_executor(pool, work, "own executor")

    asyncio.run(main())
    assert children(ironspan_trace, "invoke_agent root") == ["default executor", "own executor", "to_thread"]


def test_callbacks_of_the_loop_inherit(ironspan_trace: MemoryExporter) -> None:
    def work(done: asyncio.Event) -> None:
        with ironspan.span("callback"):
            done.set()

    async def main() -> None:
        done = asyncio.Event()
        with ironspan.span("root"):
            asyncio.get_running_loop().call_soon(work, done)
        await done.wait()

    asyncio.run(main())
    assert children(ironspan_trace, "root") == ["callback"]


def test_a_copied_context_carries_what_was_current(ironspan_trace: MemoryExporter) -> None:
    def work() -> None:
        with ironspan.span("inside"):
            pass

    with ironspan.span("root"):
        context = contextvars.copy_context()
    context.run(work)
    contextvars.Context().run(work)
    assert tree(ironspan_trace.spans) == "span root\n  span inside\nspan inside"


def test_a_span_left_in_another_context_disturbs_neither(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x")
    context = contextvars.copy_context()
    context.run(span.__enter__)
    assert context.run(ironspan.current) is span
    assert not ironspan.current().recording
    with ironspan.span("here") as here:
        span.__exit__(None, None, None)
        assert ironspan.current() is here
    assert ironspan_trace.find("x").parent_id is None


def holding(name: str) -> Generator[str, None, None]:
    with ironspan.span(name):
        yield name


def test_a_generator_left_early_gives_the_span_back(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root:
        for _ in holding("inside"):
            break
        gc.collect()
        assert ironspan.current() is root
        with ironspan.span("after"):
            pass
    assert children(ironspan_trace, "root") == ["after", "inside"]
    assert ironspan_trace.find("inside").status == "cancelled"


def test_generators_closed_out_of_order_leave_no_ended_span_current(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root:
        running = [holding(f"g{at}") for at in range(4)]
        for generator in running:
            next(generator)
        for at in (0, 2, 1, 3):
            running[at].close()
        assert ironspan.current() is root
        with ironspan.span("after"):
            pass
    assert "after" in children(ironspan_trace, "root")
    assert not ironspan.current().recording


def test_interleaved_generators_that_finish_leave_nothing_current(ironspan_trace: MemoryExporter) -> None:
    assert list(zip(holding("a"), holding("b"), strict=True)) == [("a", "b")]
    gc.collect()
    assert not ironspan.current().recording
    with ironspan.span("after"):
        pass
    assert ironspan_trace.find("after").parent_id is None


def test_spans_exited_out_of_order_by_hand_leave_the_nearest_open_one(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root:
        spans = [ironspan.span(f"s{at}") for at in range(3)]
        for span in spans:
            span.__enter__()
        spans[1].__exit__(None, None, None)
        assert ironspan.current() is spans[2]
        spans[2].__exit__(None, None, None)
        assert ironspan.current() is spans[0]
        spans[0].__exit__(None, None, None)
        assert ironspan.current() is root


async def async_holding(name: str) -> AsyncGenerator[str, None]:
    with ironspan.span(name):
        yield name
        yield name


def test_an_async_generator_closed_in_another_task_disturbs_nobody(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        with ironspan.span("root") as root:
            running = async_holding("inside")
            await anext(running)

            async def close() -> None:
                await running.aclose()

            await asyncio.create_task(close())
            with ironspan.span("after"):
                pass
            assert ironspan.current() is root

    asyncio.run(main())
    assert children(ironspan_trace, "root") == ["after", "inside"]
    assert not ironspan.current().recording


def test_abandoned_async_generators_end_their_spans(
    ironspan_trace: MemoryExporter, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        with ironspan.span("root"):
            for at in range(3):
                running = async_holding(f"g{at}")
                await anext(running)
                kept.append(running)

    asyncio.run(main())
    kept.clear()
    gc.collect()
    assert children(ironspan_trace, "root")
    assert len(ironspan_trace.spans) == 4
    assert (caplog.text, capfd.readouterr().err) == ("", "")


def test_an_async_generator_resumed_from_another_task_keeps_its_parent(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        running = async_holding("inside")
        with ironspan.span("first"):
            await asyncio.create_task(anext(running))  # type: ignore[arg-type]
        with ironspan.span("second"):
            assert await asyncio.create_task(anext(running)) == "inside"  # type: ignore[arg-type]
            await running.aclose()

    asyncio.run(main())
    assert children(ironspan_trace, "first") == ["inside"]


def test_a_million_spans_that_are_never_exited_are_freed() -> None:
    done = run_python(
        """
        import contextvars, gc, logging, os
        import ironspan
        from ironspan.testing import MemoryExporter

        logging.basicConfig()
        ironspan.init(sample=0.0, exporters=[MemoryExporter()], threads=False)

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        def nest(count):
            for _ in range(count):
                ironspan.span("x", attributes={"a": 1}).__enter__()

        def measured(count):
            contextvars.Context().run(nest, count)
            gc.collect()
            return resident()

        measured(100_000)
        before = measured(1_000_000)
        after = measured(1_000_000)
        assert after < before + 50_000_000, (before, after)
        assert not ironspan.current().recording
        print("done")
        """
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_hundred_thousand_recording_spans_that_are_never_exited_are_abandoned() -> None:
    done = run_python(
        """
        import contextvars, gc
        import ironspan
        from ironspan.testing import MemoryExporter

        memory = MemoryExporter()
        ironspan.init(exporters=[memory])

        def nest():
            for _ in range(100_000):
                ironspan.span("x").__enter__()

        contextvars.Context().run(nest)
        gc.collect()
        report = ironspan.flush()
        counts = ironspan.stats()
        assert counts["created"] == 100_000 and counts["open_spans"] == 0, counts
        assert counts["created"] == counts["delivered"] + sum(counts["dropped"].values()), counts
        assert {span.status for span in memory.spans} == {"abandoned"}
        """
    )
    assert done.stdout == ""
