"""Threads and executors inherit the current span, and nothing else of theirs is touched."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter
from tests.support.processes import run_python


def work(name: str = "work") -> str:
    with ironspan.span(name):
        return name


def parents(trace: MemoryExporter) -> dict[str, str | None]:
    """The name of each span's parent."""
    names = {span.span_id: span.name for span in trace.spans}
    return {span.name: names.get(span.parent_id or "") for span in trace.spans}


def run(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def test_a_thread_with_a_target_inherits(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root"):
        run(threading.Thread(target=work, args=("a",), kwargs={}))
    assert parents(ironspan_trace)["a"] == "root"


def test_a_thread_with_a_run_method_inherits(ironspan_trace: MemoryExporter) -> None:
    class Worker(threading.Thread):
        result = ""

        def run(self) -> None:
            self.result = work("a")

    with ironspan.span("root"):
        worker = Worker()
        run(worker)
    assert (worker.result, parents(ironspan_trace)["a"]) == ("a", "root")
    assert "run" not in vars(worker)


def test_a_thread_with_slots_still_runs(ironspan_trace: MemoryExporter) -> None:
    ran = threading.Event()

    class Fixed(threading.Thread):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "run":
                raise AttributeError(name)
            super().__setattr__(name, value)

    with ironspan.span("root"):
        run(Fixed(target=ran.set))
    assert ran.is_set()


def test_a_timer_inherits(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root"):
        run(threading.Timer(0, work, ["a"]))
    assert parents(ironspan_trace)["a"] == "root"


def test_a_thread_that_outlives_the_span_keeps_its_parent(ironspan_trace: MemoryExporter) -> None:
    release = threading.Event()

    def later() -> None:
        release.wait(60)
        work("late")

    with ironspan.span("root"):
        thread = threading.Thread(target=later)
        thread.start()
    release.set()
    thread.join()
    assert parents(ironspan_trace)["late"] == "root"


def test_the_parent_is_current_in_the_thread(ironspan_trace: MemoryExporter) -> None:
    seen: list[ironspan.Span] = []
    with ironspan.span("root") as root:
        run(threading.Thread(target=lambda: seen.append(ironspan.current().set("from thread", 1))))
    assert seen == [root]
    assert ironspan_trace.find("root").attributes["from thread"] == 1


def test_a_thread_without_a_span_has_none(ironspan_trace: MemoryExporter) -> None:
    run(threading.Thread(target=work, args=("a",)))
    assert parents(ironspan_trace)["a"] is None


def test_a_scope_reaches_the_thread(ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(session="s1"):
        run(threading.Thread(target=work, args=("a",)))
    assert ironspan_trace.find("a").attributes["session.id"] == "s1"


def test_other_context_variables_are_left_alone(ironspan_trace: MemoryExporter) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    seen = []
    with ironspan.span("root"):
        variable.set("changed")
        run(threading.Thread(target=lambda: seen.append(variable.get())))
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(variable.get).result())
    bare: list[str] = []
    run(threading.Thread(target=lambda: bare.append(variable.get())))
    assert seen == bare * 2


def test_each_task_of_a_pool_has_the_parent_of_its_submit(ironspan_trace: MemoryExporter) -> None:
    with ThreadPoolExecutor(2) as pool:
        with ironspan.span("first"):
            first = [pool.submit(work, f"a{at}") for at in range(5)]
        with ironspan.span("second"):
            second = [pool.submit(work, f"b{at}") for at in range(5)]
            mapped = list(pool.map(work, ["c0", "c1"]))
        alone = pool.submit(work, "alone")
        assert [future.result() for future in (*first, *second, alone)][-1] == "alone"
    assert mapped == ["c0", "c1"]
    found = parents(ironspan_trace)
    assert {found[f"a{at}"] for at in range(5)} == {"first"}
    assert {found[name] for name in ("b0", "b1", "b2", "b3", "b4", "c0", "c1")} == {"second"}
    assert found["alone"] is None


def test_a_pool_s_worker_keeps_nothing_of_the_task_that_started_it(ironspan_trace: MemoryExporter) -> None:
    def leaks() -> None:
        ironspan.span("leaked").__enter__()

    with ThreadPoolExecutor(1) as pool:
        with ironspan.span("root"):
            pool.submit(leaks).result()
        assert pool.submit(lambda: ironspan.current().name).result() != "root"


def test_errors_of_threads_are_as_before(ironspan_trace: MemoryExporter) -> None:
    thread = threading.Thread(target=work)
    with ironspan.span("root"):
        run(thread)
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(ZeroDivisionError):
                pool.submit(lambda: 1 / 0).result()
            with pytest.raises(TypeError):
                pool.submit()  # type: ignore[call-arg]
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(work)


def test_an_initializer_runs_as_before(ironspan_trace: MemoryExporter) -> None:
    seen: list[str] = []
    with (
        ironspan.span("root"),
        ThreadPoolExecutor(1, initializer=lambda: seen.append(ironspan.current().name)) as pool,
    ):
        assert pool.submit(work).result() == "work"
    assert seen == [""]


def test_inheritance_can_be_switched_off() -> None:
    code = """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        import ironspan
        from ironspan.testing import MemoryExporter

        start, submit = threading.Thread.start, ThreadPoolExecutor.submit
        memory = MemoryExporter()
        ironspan.init(exporters=[memory], threads=False)
        def work():
            with ironspan.span("work"):
                pass
        with ironspan.span("root"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work).result()
        assert [span.parent_id for span in memory.spans] == [None] * 3
        assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit), "nothing is patched"
    """
    run_python(code)


def test_it_can_be_switched_off_and_on_again() -> None:
    for threads, parent in ((True, "root"), (False, None), (True, "root")):
        memory = MemoryExporter()
        ironspan.init(exporters=[memory], threads=threads)
        with ironspan.span("root"):
            run(threading.Thread(target=work))
        assert parents(memory)["work"] == parent


def test_many_threads_record_without_loss(ironspan_trace: MemoryExporter) -> None:
    def many() -> None:
        for _ in range(200):
            with ironspan.span("outer"), ironspan.span("inner"):
                pass

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = ironspan_trace.spans
    assert len(spans) == len({span.span_id for span in spans}) == 8 * 200 * 2
    outer = {span.span_id: span.trace_id for span in spans if span.name == "outer"}
    assert all(outer[span.parent_id or ""] == span.trace_id for span in spans if span.name == "inner")


def test_one_span_may_be_written_from_many_threads(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("shared") as shared:

        def write(thread: int) -> None:
            for at in range(10):
                shared.set(f"t{thread}-{at}", at).event("e", thread=thread)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
    done = ironspan_trace.find("shared")
    assert len(done.events) == 80
    assert sum(key.startswith("t") for key in done.attributes) == 80
