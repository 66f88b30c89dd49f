"""Long work says how far it is: on a terminal, on one line of standard error, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.support.processes import clean_environment

WORDS = [
    (["demo", "--history", "30"], r"\r\d+ of 30 traces recorded, \d+ %"),
    (["demo", "--big", "200"], r"\r\d+ of 200 spans recorded, \d+ %"),
    (["export", "-o", "{}/a.jsonl"], r"\r1 of 31 traces written, 3 %"),
    (["import", "{}/a.jsonl"], r"\r[\d,]+ of [\d,]+ bytes read, \d+ %"),
    (["purge", "--all", "--yes"], r"\r20 of 31 traces deleted, 64 %"),
]


def run(store: Path, words: list[str]) -> tuple[str, str]:
    """Standard output and what a terminal saw of standard error."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "ironspan", *words, "--store", str(store)]
    with subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=end, text=True
    ) as process:
        os.close(end)
        seen = bytearray()
        # Linux ends a terminal that nobody writes to any more by an error.
        try:
            while more := os.read(terminal, 65_536):
                seen += more
        except OSError:
            pass
        finally:
            os.close(terminal)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, (said, bytes(seen))
    return said, seen.decode()


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    for words, expected in WORDS:
        said, seen = run(store, [word.format(tmp_path) for word in words])
        assert re.search(expected, seen), (words, seen)
        # One line, which is blank in the end.
        assert re.search(r"\r +\r", seen), (words, seen)
        assert "%" not in said


def test_a_file_sees_nothing(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    for words, _ in WORDS:
        ran = subprocess.run(
            [sys.executable, "-m", "ironspan", *(word.format(tmp_path) for word in words), "--store", str(store)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "\r" not in ran.stderr
        assert "%" not in ran.stderr
