"""Flush, shutdown, counts, and beginning again: nothing is lost in silence, nothing waits that need not."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter

from tests.support.processes import run_python


def settled(counts: dict[str, Any]) -> int:
    return int(counts["delivered"] + counts["rejected"] + sum(counts["dropped"].values()) + counts["pending"])


def make(count: int) -> None:
    for at in range(count):
        with ironspan.span(f"s{at}"):
            pass


def together(function: Callable[[], Any], count: int = 16) -> list[Any]:
    """Calls ``function`` from ``count`` threads at once."""
    barrier = threading.Barrier(count)
    results: list[Any] = []

    def call() -> None:
        barrier.wait(60)
        results.append(function())

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_stats_has_the_keys_of_record(ironspan_trace: MemoryExporter) -> None:
    make(3)
    assert ironspan.flush().in_time
    counts = ironspan.stats()
    assert set(counts) >= {
        *("created", "delivered", "rejected", "dropped", "pending", "open_spans", "open_runs"),
        *("internal_errors", "late_calls", "buffer_bytes", "destinations"),
    }
    memory = counts["destinations"]["memory"]
    assert (memory["accepted"], memory["delivered"], memory["pending"]) == (3, 3, 0)
    assert (counts["pending"], counts["open_spans"]) == (0, 0)
    json.dumps(counts)


def test_counts_add_up_while_spans_are_made_and_flushed(ironspan_trace: MemoryExporter) -> None:
    stop = threading.Event()

    def produce() -> None:
        while not stop.is_set():
            make(20)

    threads = [threading.Thread(target=produce) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            ironspan.flush()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert ironspan.flush().pending == 0
    counts = ironspan.stats()
    assert counts["created"] == settled(counts)
    assert counts["pending"] == 0


def test_each_span_is_delivered_to_every_destination() -> None:
    one, two = MemoryExporter(), MemoryExporter()
    before = ironspan.stats()["delivered"]
    ironspan.init(exporters=[one, two])
    make(10)
    assert [span.span_id for span in one.spans] == [span.span_id for span in two.spans]
    assert len(one.spans) == 10
    assert ironspan.stats()["delivered"] == before + 10


def test_a_report_is_truthy_when_nothing_is_open() -> None:
    done = run_python(
        """
        import ironspan
        from ironspan.testing import MemoryExporter
        ironspan.init(exporters=[MemoryExporter()])
        for _ in range(5):
            with ironspan.span("x"):
                pass
        report = ironspan.flush(10)
        assert report and report.in_time and isinstance(report, ironspan.Report)
        assert (report.created, report.delivered, report.rejected, report.pending) == (5, 5, 0, 0)
        assert report.dropped == {}
        assert "created=5" in repr(report)
        assert ironspan.shutdown()
        """
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_report_is_falsy_when_spans_were_lost() -> None:
    done = run_python(
        """
        import ironspan
        from ironspan.exporters import Otlp
        ironspan.init(exporters=[Otlp("http://127.0.0.1:1")], shutdown_timeout=0.2)
        with ironspan.span("x"):
            pass
        report = ironspan.shutdown()
        assert not report
        assert report.created == 1 and report.delivered == 0
        assert sum(report.dropped.values()) == 1 and report.pending == 0, report
        """
    )
    assert "1 spans were lost" in done.stderr or "lost" in done.stderr


def test_spans_without_a_destination_are_told_of_once() -> None:
    done = run_python(
        """
        import ironspan
        for _ in range(5):
            with ironspan.span("x"):
                pass
        ironspan.flush()
        counts = ironspan.stats()
        assert counts["created"] == counts["delivered"] + sum(counts["dropped"].values()), counts
        assert counts["delivered"] == counts["pending"] == counts["open_spans"] == 0
        """
    )
    assert done.stderr.count("\n") == 1
    assert "no destination is configured" in done.stderr


def test_flush_without_a_span_is_truthy_and_builds_nothing() -> None:
    done = run_python(
        """
        import threading, ironspan
        assert ironspan.flush() and ironspan.flush(0) and ironspan.flush(timeout=None)
        assert ironspan.shutdown() and ironspan.shutdown(1.0)
        assert threading.active_count() == 1
        """
    )
    assert done.stderr == ""


@pytest.mark.parametrize("timeout", [None, 0, -1, 1e300, float("nan"), float("inf"), "soon", object()], ids=repr)
def test_any_timeout_is_survived(timeout: Any, ironspan_trace: MemoryExporter) -> None:
    make(1)
    assert isinstance(ironspan.flush(timeout), ironspan.Report)


def test_flush_inside_a_span_delivers_what_has_ended(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("outer"):
        with ironspan.span("inner"):
            pass
        report = ironspan.flush()
        assert report.pending == 0
        assert [span.name for span in ironspan_trace.spans] == ["inner"]
    assert [span.name for span in ironspan_trace.spans] == ["inner", "outer"]


def test_flush_from_many_threads_delivers_once(ironspan_trace: MemoryExporter) -> None:
    make(100)
    reports = together(lambda: ironspan.flush(30))
    assert len(reports) == 16
    assert all(report.in_time for report in reports)
    assert len(ironspan_trace.spans) == 100


def test_shutdown_from_many_threads_delivers_once_and_is_idempotent(ironspan_trace: MemoryExporter) -> None:
    make(100)
    reports = together(lambda: ironspan.shutdown(30))
    assert len(reports) == 16
    ironspan.shutdown()
    assert len(ironspan_trace.spans) == 100
    assert ironspan.stats()["pending"] == 0


def test_spans_made_while_another_thread_shuts_down_are_counted(ironspan_trace: MemoryExporter) -> None:
    started = threading.Barrier(5)

    def produce() -> None:
        started.wait(60)
        make(500)

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(60)
    ironspan.shutdown()
    for thread in threads:
        thread.join()
    counts = ironspan.stats()
    assert counts["created"] == settled(counts)
    assert counts["pending"] == 0


def test_a_span_that_is_open_at_shutdown_is_counted_as_lost(ironspan_trace: MemoryExporter) -> None:
    before = ironspan.stats()
    with ironspan.span("x"):
        ironspan.shutdown()
    after = ironspan.stats()
    assert after["created"] == before["created"] + 1
    assert sum(after["dropped"].values()) == sum(before["dropped"].values()) + 1
    assert after["open_spans"] == before["open_spans"]
    assert ironspan_trace.spans == []


def test_after_shutdown_spans_record_nothing_and_raise_nothing(ironspan_trace: MemoryExporter) -> None:
    ironspan.shutdown()
    before = ironspan.stats()
    with ironspan.agent("a", input="x") as span:
        span.set("k", 1)
        assert not span.recording
        assert not ironspan.current().recording
    assert ironspan.stats()["created"] == before["created"]
    assert ironspan.stats()["late_calls"] > before["late_calls"]
    assert ironspan_trace.spans == []


def test_a_new_init_after_shutdown_delivers() -> None:
    for _ in range(3):
        memory = MemoryExporter()
        ironspan.init(exporters=[memory])
        make(2)
        assert len(memory.spans) == 2
        ironspan.shutdown()


def test_a_second_init_sends_what_was_pending_to_the_first() -> None:
    first, second = MemoryExporter(), MemoryExporter()
    ironspan.init(exporters=[first])
    make(50)
    with ironspan.span("across"):
        ironspan.init(exporters=[second])
    assert len(first.spans) == 50
    assert [span.name for span in second.spans] == ["across"]


def test_a_failing_init_leaves_the_present_one_at_work(ironspan_trace: MemoryExporter) -> None:
    with pytest.raises(ironspan.ConfigError):
        ironspan.init(sample=2)
    make(1)
    assert len(ironspan_trace.spans) == 1


def test_init_from_many_threads_leaves_one_that_works() -> None:
    memory = MemoryExporter()
    together(lambda: ironspan.init(exporters=[memory]), 8)
    memory.clear()
    make(10)
    assert len(memory.spans) == 10


def test_nothing_is_logged_by_ordinary_use(
    ironspan_trace: MemoryExporter, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        make(10)
        span = ironspan.span("x").start()
        span.end()
        span.end()
        ironspan.flush()
        ironspan.shutdown()
    assert caplog.records == []
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_daemon_threads_that_make_spans_do_not_hold_up_the_exit() -> None:
    done = run_python(
        """
        import threading, ironspan
        from ironspan.testing import MemoryExporter
        ironspan.init(exporters=[MemoryExporter()])
        started = threading.Event()
        def forever():
            while True:
                with ironspan.span("x"):
                    started.set()
        threading.Thread(target=forever, daemon=True).start()
        started.wait()
        """
    )
    # A span that was open at the end is lost, and said to be.
    assert done.stderr in ("", "1 spans were lost: 1 dropped as shutdown\n")
