"""A store with a varied history, and the same as lines of JSON, which the expected figures are computed from."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.store import figures
from tests.store.varied import SPREAD
from tests.support.processes import clean_environment, run_python

#: Traces of the demo's history, and of each of two services.
DEMO, VARIED = 150, 150


@dataclass(frozen=True)
class History:
    """A store, what it should answer from, and a moment about the middle of it."""

    path: Path
    traces: list[figures.Trace]
    middle: int

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for trace in self.traces for span in trace.spans]

    @property
    def begin(self) -> int:
        return min(trace.start for trace in self.traces)

    def between(self, since: int, until: int) -> list[figures.Trace]:
        """The traces that begin then."""
        return [trace for trace in self.traces if since <= trace.start < until]

    def spans_between(self, since: int, until: int) -> list[dict[str, Any]]:
        """The spans that begin then."""
        return [span for span in self.spans if since <= span["start"] < until]


def ironspan(store: Path, *words: str) -> str:
    """What the command says."""
    done = subprocess.run(
        [sys.executable, "-m", "ironspan", *words, "--store", str(store)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def query(store: Path, sql: str) -> list[list[Any]]:
    """Rows of SQLite, asked by a process of its own: a second SQLite in this one would drop the locks of ours."""
    code = """
        import json, sqlite3, sys
        rows = sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]).fetchall()
        print(json.dumps(rows, default=bytes.hex))
    """
    return json.loads(run_python(code, str(store), sql).stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("history")
    path = folder / "traces.db"
    ironspan(path, "demo", "--history", str(DEMO), "--no-open")
    begin = time.time_ns() - SPREAD - 3_600_000_000_000
    for service in ("shop", "billing"):
        run_python("from tests.store.varied import main; import sys; main(*sys.argv[1:])",
            str(path), str(begin), str(VARIED), service)  # fmt: skip
    ironspan(path, "export", "--format", "jsonl", "--output", str(folder / "spans.jsonl"))
    traces = figures.read(folder / "spans.jsonl")
    assert len(traces) == DEMO + 2 * VARIED
    return History(path, traces, begin + SPREAD // 2)
