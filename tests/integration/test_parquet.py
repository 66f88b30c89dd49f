"""Spans as Arrow and as Parquet files, read back by pyarrow. Not with the oldest frameworks, which come without it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ironspan
import pyarrow
import pytest
from ironspan import _arrow
from pyarrow import parquet

from tests.support.processes import clean_environment, run_python

PROGRAM = """
    import sys, ironspan
    ironspan.init("shop", store=sys.argv[1], exporters=[])
    for n in range(4):
        with ironspan.scope(tags=["even" if n % 2 == 0 else "odd"]), ironspan.workflow(f"run {n}"):
            with ironspan.generation("gpt-4o", messages="?") as call:
                call.usage(input=10, output=4).cost(total=0.5)
            if n == 0:
                try:
                    with ironspan.tool("search"):
                        raise TimeoutError("no answer")
                except TimeoutError:
                    pass
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "traces.db"
    run_python(PROGRAM, str(path))
    return path


def export(store: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ironspan", "export", *words, "--store", str(store)],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("name", "words"), [("a.parquet", []), ("b.data", ["--format", "parquet"])])
def test_a_file_holds_the_rows_of_the_store(store: Path, tmp_path: Path, name: str, words: list[str]) -> None:
    path = tmp_path / name
    ran = export(store, "-o", str(path), *words)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "4 traces with 9 spans written\n")
    assert path.stat().st_mode & 0o777 == 0o600
    with ironspan.open_store(store) as opened:
        rows = list(opened.spans())
        assert parquet.read_table(path).to_pylist() == rows
        assert opened.to_arrow().equals(parquet.read_table(path))
        assert opened.to_parquet(tmp_path / "again.parquet") == 9
    again = export(store, "-o", str(path), *words)
    assert again.returncode == 3
    assert "cannot be written: File exists" in again.stderr


def test_columns_are_the_same_whatever_the_spans_hold(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    assert export(store, "tag:odd", "--since", "1h", "-o", str(path)).returncode == 0
    table = parquet.read_table(path)
    assert table.num_rows == 4
    assert table.column("error").null_count == 4
    assert table.schema == _arrow.schema()
    assert {field.name: str(field.type) for field in table.schema if field.type != pyarrow.string()} == {
        "start": "int64",
        "duration": "int64",
        "own_error": "bool",
        "input_tokens": "int64",
        "output_tokens": "int64",
        "cost": "double",
        "first_chunk": "int64",
    }


def test_where_nothing_fits_there_is_no_file(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert export(store, "agent:nobody", "-o", str(path)).returncode == 1
    assert export(store, "weather:fine", "-o", str(path)).returncode == 2
    assert export(store, "--format", "parquet").returncode == 2
    assert export(store, "-o", str(tmp_path / "no" / "folder.parquet")).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_it_says_what_to_install(store: Path, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError(\"No module named 'pyarrow'\")\n")
    path = os.pathsep.join([str(tmp_path), clean_environment()["PYTHONPATH"]])
    ran = export(store, "-o", str(tmp_path / "a.parquet"), PYTHONPATH=path)
    assert ran.returncode == 2
    assert "error: Parquet needs the package pyarrow" in ran.stderr
    assert "hint: pip install pyarrow" in ran.stderr
    assert not (tmp_path / "a.parquet").exists()


class Endless:
    """A store of three traces that tells how many spans have been asked of it."""

    def __init__(self) -> None:
        self.read = 0

    def spans(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        for number in range(9):
            self.read += 1
            yield {"trace": f"t{number // 3}", "id": str(number), "start": number, "own_error": False}


def test_it_is_written_while_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_arrow, "_ROWS", 2)
    store, told = Endless(), []
    path = tmp_path / "parts.parquet"
    done = _arrow.write_parquet(store, path, told=lambda *counts: told.append((*counts, store.read)))  # type: ignore[arg-type]
    assert done == (3, 9)
    # Two at a time, and never more than those are in memory.
    assert told == [(1, 2, 2), (2, 4, 4), (2, 6, 6), (3, 8, 8), (3, 9, 9)]
    assert parquet.ParquetFile(path).num_row_groups == 5


def test_what_is_interrupted_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_arrow, "_ROWS", 2)
    with pytest.raises(KeyboardInterrupt):
        _arrow.write_parquet(Endless(), tmp_path / "part.parquet", told=interrupt)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
