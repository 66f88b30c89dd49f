"""A running `ironspan view` and what its store holds; a program of its own records it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.processes import clean_environment

__all__ = ["UI", "Served", "empty", "record", "viewing"]

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "src" / "viewer" / "ui"
READY_SECONDS = 30


@dataclass
class Served:
    """A running viewer: where it is, and the ids of what its store holds."""

    url: str
    store: Path
    ids: dict[str, Any] = field(default_factory=dict)

    def trace(self, name: str, span: str | None = None, **query: str) -> str:
        """The address of a recorded trace, with one of its spans chosen."""
        found = self.ids[name]
        if span is not None:
            query["span"] = found["spans"][span]
        asked = "&".join(f"{key}={value}" for key, value in query.items())
        return f"{self.url}/#/t/{found['trace']}{'?' + asked if asked else ''}"


def record(store: Path, *sets: str) -> dict[str, Any]:
    """Record sets of `tests.viewer.traces` into a store, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.viewer.traces", str(store), *sets],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def empty(store: Path) -> None:
    """Delete all traces of a store."""
    command = [sys.executable, "-m", "ironspan", "purge", "--all", "--yes", "--store", str(store)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def viewing(store: Path) -> Iterator[str]:
    """`ironspan view` on a store; the URL that it prints, without what follows the path.

    The page is the one in the wheel, unless IRONSPAN_UI_DIR names a folder that is being worked on.
    """
    folder = {name: os.environ[name] for name in ("IRONSPAN_UI_DIR",) if name in os.environ}
    command = [sys.executable, "-m", "ironspan", "view", "--no-open", "--port", "0", "--store", str(store)]
    with subprocess.Popen(
        command,
        cwd=store.parent,
        env=clean_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            watch = threading.Timer(READY_SECONDS, process.kill)
            watch.start()
            said = []
            for line in process.stdout:
                said.append(line)
                found = re.search(r"https?://[^\s/#]+", line)
                if found:
                    break
            else:
                raise AssertionError(f"no URL was printed:\n{''.join(said)}")
            watch.cancel()
            # Nobody reads further: a full pipe would stop the server.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield found.group()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
