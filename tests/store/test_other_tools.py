"""A finished store in other people's programs: each has to see the spans that ironspan exports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.store import figures
from tests.store.conftest import History, query
from tests.support.processes import clean_environment, run_python

READY_SECONDS = 60


def tokens_by_model(history: History) -> dict[str, tuple[int, int]]:
    """Generations of each model and the tokens that went into them."""
    found: dict[str, tuple[int, int]] = {}
    for span in history.spans:
        if span["kind"] == "generation":
            calls, tokens = found.get(span["model"] or "", (0, 0))
            found[span["model"] or ""] = (calls + 1, tokens + (span["usage"]["input"] or 0))
    return found


def test_the_system_s_sqlite(history: History) -> None:
    rows = query(
        history.path,
        "SELECT model, count(*), coalesce(sum(input_tokens), 0) FROM spans WHERE kind = 'generation' GROUP BY 1",
    )
    assert {model: (calls, tokens) for model, calls, tokens in rows} == tokens_by_model(history)
    assert query(history.path, "PRAGMA integrity_check") == [["ok"]]


@pytest.fixture(scope="module")
def datasette(history: History) -> Iterator[str]:
    """Datasette on this machine, with the store; it opens files for reading only."""
    pytest.importorskip("datasette")
    command = [sys.executable, "-m", "datasette", "serve", str(history.path), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True) as process:
        watch = threading.Timer(READY_SECONDS, process.kill)
        watch.start()
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                found = re.search(r"running on (http://[^\s/]+)", line)
                if found:
                    break
            else:
                pytest.fail(f"no address was told:\n{''.join(said)}")
            # Nobody reads further: a full pipe would stop the server.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield found.group(1)
        finally:
            watch.cancel()
            process.terminate()


def test_datasette(history: History, datasette: str) -> None:
    def ask(path: str, **parameters: Any) -> Any:
        with urllib.request.urlopen(f"{datasette}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            return json.load(answer)

    table = ask("/traces/spans.json", kind="tool", _size="max", _shape="array", _nl="")
    tools = {span["id"]: span for span in history.spans if span["kind"] == "tool"}
    assert len(table) == min(len(tools), 1_000)
    for row in table:
        span = tools[row["span_id"]]
        assert (row["name"], row["status"], row["agent"] or None) == (span["name"], span["status"], span["agent"])
        assert row["duration_ms"] == pytest.approx(span["duration"] / 1e6)
    sql = "SELECT model, count(*) AS calls, coalesce(sum(input_tokens), 0) AS tokens FROM spans "
    rows = ask("/traces.json", sql=f"{sql} WHERE kind = 'generation' GROUP BY 1", _shape="array")
    assert {row["model"]: (row["calls"], row["tokens"]) for row in rows} == tokens_by_model(history)


def test_duckdb(history: History) -> None:
    if find_spec("duckdb") is None or find_spec("duckdb_ext") is None:
        pytest.skip("needs duckdb and duckdb-ext-sqlite")
    # DuckDB takes the columns of a view for text.
    code = """
        import json, pathlib, sys
        import duckdb, duckdb_ext
        (folder,) = [pathlib.Path(place, "extensions") for place in duckdb_ext.__path__]
        settings = {"extension_directory": str(folder), "autoinstall_known_extensions": "false"}
        connection = duckdb.connect(config=settings)
        connection.execute("SET enable_progress_bar = false")
        connection.execute("LOAD sqlite_scanner")
        connection.execute(f"ATTACH '{sys.argv[1]}' AS store (TYPE sqlite, READ_ONLY)")
        by_model = connection.execute(
            "SELECT model, count(*), coalesce(sum(input_tokens::BIGINT), 0)::BIGINT FROM store.spans"
            " WHERE kind = 'generation' GROUP BY 1"
        ).fetchall()
        durations = connection.execute(
            "SELECT agent, quantile_disc(duration_ns, 0.95) FROM store.span WHERE kind = 2 GROUP BY 1"
        ).fetchall()
        print(json.dumps([by_model, durations]))
    """
    by_model, durations = json.loads(run_python(textwrap.dedent(code), str(history.path)).stdout)
    assert {model: (calls, tokens) for model, calls, tokens in by_model} == tokens_by_model(history)
    turns: dict[str, list[int]] = {}
    for span in history.spans:
        if span["kind"] == "agent":
            turns.setdefault(span["agent"], []).append(span["duration"])
    assert dict(durations) == {agent: figures.percentile(values, 95) for agent, values in turns.items()}
