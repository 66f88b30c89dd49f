"""The local store: what programs leave in it, and what it does when files, disks and processes misbehave."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ironspan
import pytest

from tests.support.processes import clean_environment, run_python


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    """Read by a process of its own: a second SQLite in this one would drop the locks of ours."""
    code = """
        import ast, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], timeout=30)
        print(connection.execute(sys.argv[2]).fetchall())
    """
    import ast

    return ast.literal_eval(run_python(code, str(store), query).stdout)  # type: ignore[no-any-return]


def eventually(what: str, condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says one line when it has come as far as the test wants it, and then waits to be ended."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    with subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            yield process
        finally:
            process.kill()


def test_a_trace_is_in_the_store(store: Path) -> None:
    ironspan.init(service="shop", store=store)
    with (
        ironspan.scope(session="s-1", user="u-1", tags=["prod"]),
        ironspan.workflow("answer", input="What is a span?") as run,
    ):
        with (
            ironspan.agent("writer"),
            ironspan.generation("gpt-4o", messages=[{"role": "user", "content": "Hi"}]) as call,
        ):
            call.usage(input=10, output=4).cost(total=0.5).output("Hello")
        run.output("A step.")
    assert ironspan.flush().pending == 0
    trace = "select name, status, session, user, spans, generations, input_tokens, output_tokens, cost, input, output"
    assert rows(store, f"{trace} from trace") == [
        ("answer", 0, "s-1", "u-1", 3, 1, 10, 4, 0.5, "What is a span?", "A step.")
    ]
    spans = rows(store, "select name, kind, agent, model, status, service from spans order by name")
    assert spans == [
        ("answer", "workflow", "", "", "ok", "shop"),
        ("gpt-4o", "generation", "writer", "gpt-4o", "ok", "shop"),
        ("writer", "agent", "writer", "", "ok", "shop"),
    ]
    assert rows(store, "select agent, spans, turns, input_tokens, cost from trace_agent") == [("writer", 2, 1, 10, 0.5)]
    assert rows(store, "select tag from trace_tag") == [("prod",)]


def test_the_default_place_is_the_users_own_and_nobody_elses(tmp_path: Path) -> None:
    code = """
        import ironspan
        ironspan.init()
        with ironspan.span("x"):
            pass
    """
    environment = {"XDG_DATA_HOME": str(tmp_path), "IRONSPAN_STORE": "auto"}
    run_python(code, env=environment)
    store = tmp_path / "ironspan" / "traces.db"
    assert rows(store, "select name from span") == [("x",)]
    assert (store.stat().st_mode & 0o777, store.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    # Without init() nothing is written, however many spans a library makes.
    store.unlink()
    run_python(code.replace("ironspan.init()", "pass"), env=environment)
    assert not store.exists()


def test_exporters_instead_of_the_store(tmp_path: Path) -> None:
    code = """
        import ironspan
        from ironspan.testing import MemoryExporter
        ironspan.init(exporters=[MemoryExporter()])
        with ironspan.span("x"):
            pass
        assert list(ironspan.stats()["destinations"]) == ["memory"]
    """
    run_python(code, env={"XDG_DATA_HOME": str(tmp_path), "IRONSPAN_STORE": "auto"})
    assert list(tmp_path.iterdir()) == []


def test_in_memory() -> None:
    ironspan.init(store="memory")
    with ironspan.span("x"):
        pass
    assert ironspan.flush().pending == 0
    assert ironspan.stats()["destinations"]["store"]["delivered"] >= 1
    assert not Path("file:").exists()


PROGRAM = """
    import sys, time, ironspan
    ironspan.init(service="victim", store=sys.argv[1])
    run = ironspan.workflow("run", input="the question").start()
    agent = ironspan.agent("planner", parent=run, input="plan it").start()
    ironspan.span("done", parent=agent).start().end()
    time.sleep(0.25)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_runs_is_seen_and_what_was_killed_is_known(store: Path) -> None:
    with running(PROGRAM, str(store)) as process:
        open_spans = "select name, kind, input from open_span order by start_ns"
        eventually("open spans", lambda: len(rows(store, open_spans)) == 2)
        assert rows(store, open_spans) == [("run", 1, "the question"), ("planner", 2, "plan it")]
        assert rows(store, "select name, status, input from trace") == [("run", 5, "the question")]
        process.send_signal(signal.SIGKILL)
        process.wait()
    # What had ended a quarter of a second before is there, and what was open is still told.
    assert rows(store, "select name from span") == [("done",)]
    assert len(rows(store, open_spans)) == 2
    [(pid,)] = rows(store, "select pid from process")
    assert pid == process.pid


def test_what_ends_is_open_no_more(store: Path) -> None:
    ironspan.init(store=store)
    with ironspan.agent("slow"):
        eventually("the open span", lambda: store.exists() and rows(store, "select name from open_span") == [("slow",)])
    assert ironspan.flush().pending == 0
    assert rows(store, "select count(*) from open_span") == [(0,)]
    assert rows(store, "select name, status from span") == [("slow", 0)]


def test_several_processes_write_one_file_and_none_loses_a_row(store: Path) -> None:
    code = """
        import sys, ironspan
        ironspan.init(service=sys.argv[2], store=sys.argv[1])
        for n in range(500):
            with ironspan.workflow(f"run {n}"), ironspan.tool("t"):
                pass
        report = ironspan.flush(60)
        assert report, ironspan.stats()
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(store), f"service-{n}"], env=clean_environment()
        )
        for n in range(8)
    ]
    assert [process.wait(100) for process in processes] == [0] * 8
    assert rows(store, "select count(*), count(distinct span_id) from span") == [(8000, 8000)]
    assert rows(store, "select count(*), sum(spans) from trace") == [(4000, 8000)]
    assert rows(store, "select service, count(*) from spans group by 1") == [(f"service-{n}", 1000) for n in range(8)]
    assert rows(store, "pragma integrity_check") == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_parent_and_child_of_a_fork_write_both(store: Path) -> None:
    code = """
        import os, sys, ironspan
        ironspan.init(store=sys.argv[1])
        with ironspan.span("before"):
            pass
        for n in range(5):
            pid = os.fork()
            with ironspan.span("child" if pid == 0 else "parent"):
                pass
            if pid == 0:
                ironspan.shutdown()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    """
    run_python(code, str(store))
    assert rows(store, "select name, count(*) from span group by 1") == [("before", 1), ("child", 5), ("parent", 5)]
    assert rows(store, "pragma integrity_check") == [("ok",)]


def test_a_damaged_store_is_moved_aside_and_tracing_goes_on(store: Path) -> None:
    damaged = b"SQLite format 3\\0" + bytes(range(256)) * 64
    store.write_bytes(damaged)
    ironspan.init(store=store)
    with ironspan.span("x"):
        pass
    assert ironspan.flush().pending == 0
    [aside] = [path for path in store.parent.iterdir() if ".damaged-" in path.name]
    assert aside.read_bytes() == damaged
    assert rows(store, "select name from span") == [("x",)]


@pytest.mark.parametrize("kind", ["text", "database"])
def test_a_file_of_somebody_elses_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.db"
    if kind == "text":
        path.write_text("dear diary " * 100)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("create table dear(diary)")
            connection.commit()
    before = path.read_bytes()
    ironspan.init(store=path)
    lost = ironspan.stats()["dropped"].get("failed", 0)
    with ironspan.span("x"):
        pass
    assert not ironspan.flush()
    assert ironspan.stats()["dropped"]["failed"] == lost + 1
    assert "is not an ironspan store" in str(ironspan.stats()["destinations"]["store"]["last_error"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_that_is_deleted_or_replaced_is_made_anew(store: Path) -> None:
    ironspan.init(store=store)
    with ironspan.span("first"):
        pass
    assert ironspan.flush().pending == 0
    for path in store.parent.iterdir():
        path.unlink()

    def arrives() -> bool:
        with ironspan.span("later"):
            pass
        ironspan.flush()
        return store.exists()

    eventually("a new file", arrives)
    assert ("later",) in rows(store, "select name from span")


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = blocked / "traces.db"
    ironspan.init(store=store)
    with ironspan.span("x"):
        pass
    assert ironspan.flush(0.5).pending == 1
    told = ironspan.stats()["destinations"]["store"]
    assert (told["pending"], told["health"]) == (1, "retrying")
    assert str(store) in str(told["last_error"])
    blocked.unlink()
    eventually("the store", lambda: ironspan.flush(1).pending == 0)
    assert rows(store, "select name from span") == [("x",)]


def test_a_history_that_is_sent_again_and_again_is_kept_once(store: Path) -> None:
    ironspan.init(store=store)
    history: list[dict[str, str]] = []
    for turn in range(20):
        history.append({"role": "user", "content": f"question {turn} " + "q" * 1000})
        answer = {"role": "assistant", "content": f"answer {turn} " + "a" * 1000}
        with ironspan.generation("m", messages=list(history)) as call:
            call.output(answer)
        history.append(answer)
    assert ironspan.flush().pending == 0
    distinct = sum(len(message["content"]) for message in history)
    [(kept,)] = rows(store, "select sum(length(data)) from blob")
    [(bodies,)] = rows(store, "select sum(length(data)) from body")
    assert kept + bodies < 1.5 * distinct
