"""The table of open runs: what ends an entry, and what is remembered."""

from __future__ import annotations

import gc
import uuid
from typing import Any

import ironspan
import pytest
from ironspan import _guard
from ironspan._runs import NO_SPAN_ID, Run, RunTable
from ironspan.testing import MemoryExporter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def memory():
    exporter = MemoryExporter()
    ironspan.init("tests", store=None, exporters=[exporter])
    yield exporter
    ironspan.shutdown()


def begin(table: RunTable, key: Any, parent: Any = None, run_id: Any = None) -> Run:
    span = ironspan.span(str(key))
    span.start()
    run = Run(key, parent, span, NO_SPAN_ID)
    table.open(run, run_id)
    return run


def end(table: RunTable, key: Any) -> None:
    run = table.close(key)
    assert run is not None
    table.finish(run)


def statuses(memory: MemoryExporter) -> dict[str, str]:
    ironspan.flush()
    return {span.name: span.status for span in memory.spans}


def test_full_table_ends_the_quietest_runs_as_abandoned(memory):
    clock = Clock()
    table = RunTable(cap=16, idle_seconds=1e6, clock=clock)
    for number in range(16):
        clock.now += 1
        begin(table, number)
    clock.now += 1
    begin(table, "child", parent=0)  # keeps the oldest alive
    assert len(table) <= 16
    assert table.get(0) is not None
    assert statuses(memory) == {"1": "abandoned", "2": "abandoned"}
    for key in [run for run in range(16) if table.get(run)] + ["child"]:
        end(table, key)


def test_idle_run_is_ended_and_one_with_work_below_it_is_not(memory):
    clock = Clock()
    table = RunTable(idle_seconds=10, clock=clock)
    for key, parent in (("root", None), ("node", "root"), ("lonely", None)):
        begin(table, key, parent)
    for number in range(8):
        clock.now += 4
        begin(table, number, "node")
        end(table, number)
    assert statuses(memory).get("lonely") == "abandoned"
    assert table.get("root") is not None
    assert table.get("node") is not None
    for key in ("root", "node"):
        end(table, key)


def test_run_ends_as_cancelled_when_the_frameworks_id_dies(memory):
    table, run_id = RunTable(), uuid.uuid4()
    begin(table, run_id.int, run_id=run_id)
    name = str(run_id.int)
    del run_id
    gc.collect()
    assert len(table) == 0
    assert statuses(memory) == {name: "cancelled"}


def test_ended_run_is_not_ended_again_by_its_id(memory):
    table, run_id = RunTable(), uuid.uuid4()
    begin(table, run_id.int, run_id=run_id)
    end(table, run_id.int)
    name = str(run_id.int)
    del run_id
    gc.collect()
    assert statuses(memory) == {name: "ok"}


def test_ended_runs_are_remembered_by_context_and_forgotten_in_order(memory):
    table = RunTable()
    for number in range(1_100):
        begin(table, number)
        end(table, number)
    assert table.find(0) is None
    last = table.find(1_099)
    assert last is not None
    assert isinstance(last.span, ironspan.SpanContext)
    assert table.get(1_099) is None


def test_forgetting_leaves_spans_to_the_parent_process(memory):
    table = RunTable()
    run = begin(table, "mine")
    span = run.span
    table.forget()
    assert len(table) == 0
    assert table.find("mine") is not None
    assert statuses(memory) == {}
    span.end()


def test_loop_of_parents_ends(memory):
    table = RunTable()
    first, second = begin(table, "a", "b"), begin(table, "b", "a")
    assert len(list(table.ancestry(first))) == 1_000
    for run in (first, second):
        end(table, run.key)


def test_idle_limit_comes_from_the_configuration(memory, monkeypatch):
    monkeypatch.setenv("IRONSPAN_RUN_IDLE_SECONDS", "7")
    ironspan.init("tests", store=None, exporters=[memory])
    clock = Clock()
    table = RunTable(clock=clock)
    begin(table, "quiet")
    clock.now += 6
    table.sweep()
    assert table.get("quiet") is not None
    clock.now += 2
    table.sweep()
    assert statuses(memory) == {"quiet": "abandoned"}


def test_open_runs_are_a_gauge_in_the_statistics(memory):
    table = RunTable()
    before = ironspan.stats()["open_runs"]
    begin(table, "one")
    assert ironspan.stats()["open_runs"] == before + 1
    end(table, "one")
    assert ironspan.stats()["open_runs"] == before


def test_guard_holds_back_failures_and_lets_the_users_signals_through(monkeypatch):
    monkeypatch.setattr(_guard, "reraise", False)

    class PanicException(BaseException):
        """Like the one that a Rust panic becomes."""

    def fail(error: BaseException) -> None:
        raise error

    guarded = _guard.harmless(fail)
    before = ironspan.stats()["internal_errors"]
    assert guarded(ValueError("x")) is None
    assert guarded(PanicException()) is None
    assert ironspan.stats()["internal_errors"] == before + 2
    for signal in (KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(signal)):
            guarded(signal)
