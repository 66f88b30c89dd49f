"""Readers of a store that is not there yet, that is deleted, or that another one takes the place of."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ironspan
import pytest

from tests.support.processes import clean_environment, run_python

PROGRAM = """
    import sys, ironspan
    ironspan.init("shop", store=sys.argv[1], exporters=[])
    with ironspan.workflow(sys.argv[2]):
        pass
"""


def record(store: Path, name: str) -> None:
    run_python(PROGRAM, str(store), name)


def delete(store: Path) -> None:
    for end in ("-wal", "-shm", ""):
        store.with_name(store.name + end).unlink(missing_ok=True)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def followed(lines: Iterator[str]) -> Iterator[list[str]]:
    """What comes, as it comes."""
    come: list[str] = []
    reader = threading.Thread(target=lambda: come.extend(lines), daemon=True)
    reader.start()
    yield come
    reader.join(30)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_the_page_waits_for_its_store_and_follows_it(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    served = ironspan.view(store)
    base = served.url.split("#")[0].rstrip("/") + "/api/v1"

    def names() -> list[str]:
        return [row["name"] for row in get(f"{base}/traces")["traces"]]

    assert names() == []
    assert (get(f"{base}/status")["path"], get(f"{base}/status")["traces"]) == (str(store), 0)
    assert not store.exists()
    stream = urllib.request.urlopen(f"{base}/live", timeout=60)
    with followed(line.decode() for line in stream) as come:
        until(lambda: any("hello" in line for line in come))
        record(store, "first")
        until(lambda: names() == ["first"])
        until(lambda: "event: store\n" in come)
        delete(store)
        until(lambda: names() == [])
        # The stream looks now and then: what is gone and back between two looks is one change.
        until(lambda: come.count("event: store\n") >= 2)
        record(store, "second")
        until(lambda: names() == ["second"])
        until(lambda: come.count("event: store\n") >= 3)
        # From here on it is told what comes, as ever.
        record(store, "third")
        until(lambda: any('"third"' in line for line in come))
        served.stop()


def test_tail_goes_on_with_the_new_store(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    record(store, "first")
    with subprocess.Popen(
        [sys.executable, "-m", "ironspan", "tail", "--json", "--store", str(store)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        with followed(tail.stdout) as told, followed(tail.stderr) as noted:
            try:
                # Until it has begun to look, what comes may be old to it.
                count = 0

                def begun() -> bool:
                    nonlocal count
                    count += 1
                    record(store, f"before {count}")
                    return any("before" in line for line in told)

                until(begun)
                delete(store)
                until(lambda: any("deleted" in line for line in noted))
                record(store, "second")
                until(lambda: any('"second"' in line for line in told))
            finally:
                tail.kill()


def test_an_open_store_is_that_of_the_name(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    record(store, "first")
    with ironspan.open_store(store) as opened:
        assert [row["name"] for row in opened.traces()] == ["first"]
        delete(store)
        with pytest.raises(ironspan.StoreError, match="there is no store at"):
            opened.traces()
        record(store, "second")
        assert [row["name"] for row in opened.traces()] == ["second"]
        other = tmp_path / "other.db"
        record(other, "third")
        delete(store)
        # What is not in the file yet is in its log.
        for end in ("-wal", "-shm", ""):
            part = other.with_name(other.name + end)
            if part.exists():
                part.replace(store.with_name(store.name + end))
        assert [row["name"] for row in opened.traces()] == ["third"]
