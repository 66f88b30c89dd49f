"""The local store seen from outside, for the scenarios about it: what is in a file, and whether it hangs together.

Nothing here is ironspan: Python's own SQLite reads the file, in a process that never writes spans. And a disk that is
full at will: a small file system in a name space of the scenario's own where the system lets it mount one, a limit on
the size of files otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.harness import Run, clean_environment

__all__ = ["SmallDisk", "command", "eventually", "rows", "sound", "statuses"]

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

# What `trace` and `trace_agent` say, and what follows from the rows of `span`: there must be no row in one and not in
# the other. Compared apart: money, and the start of a trace, which may be that of a span that is still open; told when
# it began and again when it has ended, its wall time may differ by nanoseconds.
_CALLS = "kind IN (3, 5, 6)"
_TRACES = f"""
WITH told AS (
  SELECT id, spans, errors, generations, tools, input_tokens, output_tokens, end_ns FROM trace WHERE spans > 0
), true AS (
  SELECT trace, count(*), sum(own_error), sum(kind = 3), sum(kind = 7),
    sum(CASE WHEN {_CALLS} THEN input_tokens END), sum(CASE WHEN {_CALLS} THEN output_tokens END),
    max(start_ns + duration_ns)
  FROM span GROUP BY trace
)
SELECT 'told', * FROM (SELECT * FROM told EXCEPT SELECT * FROM true)
UNION ALL SELECT 'true', * FROM (SELECT * FROM true EXCEPT SELECT * FROM told)
"""
_STARTS = """
SELECT t.id, t.start_ns, min(s.start_ns) FROM trace t JOIN span s ON s.trace = t.id
WHERE NOT EXISTS (SELECT 1 FROM open_span o WHERE o.trace_id = t.trace_id) GROUP BY t.id
HAVING abs(t.start_ns - min(s.start_ns)) > 1000
"""
_AGENTS = f"""
WITH told AS (
  SELECT trace, agent, spans, errors, turns, duration_ns, input_tokens, output_tokens FROM trace_agent
), true AS (
  SELECT trace, agent, count(*), sum(own_error), sum(kind = 2), sum(CASE WHEN kind = 2 THEN duration_ns ELSE 0 END),
    sum(CASE WHEN {_CALLS} THEN coalesce(input_tokens, 0) ELSE 0 END),
    sum(CASE WHEN {_CALLS} THEN coalesce(output_tokens, 0) ELSE 0 END)
  FROM span WHERE agent <> '' GROUP BY 1, 2
)
SELECT 'told', * FROM (SELECT * FROM told EXCEPT SELECT * FROM true)
UNION ALL SELECT 'true', * FROM (SELECT * FROM true EXCEPT SELECT * FROM told)
"""
_COSTS = f"""
SELECT t.id FROM trace t WHERE abs(coalesce(t.cost, 0)
  - coalesce((SELECT sum(s.cost) FROM span s WHERE s.trace = t.id AND {_CALLS}), 0)) > 1e-9
"""


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def sound(run: Run, path: Path, name: str = "") -> None:
    """Hold a file to what always has to be true: it is whole, and its summaries follow from its spans."""
    before = f"{name}: " if name else ""
    verdict = rows(path, "PRAGMA integrity_check")
    run.check(f"{before}integrity", verdict[0][0], "ok", verdict == [("ok",)])
    wrong = [row for sql in (_TRACES, _AGENTS, _STARTS, _COSTS) for row in rows(path, sql)]
    run.check(f"{before}summaries", f"{len(wrong)} differ {wrong[:2] or ''}", "as the spans say", not wrong)
    bodies = rows(path, "SELECT count(*) FROM span s LEFT JOIN body b ON b.id = s.id WHERE b.id IS NULL")
    run.check(f"{before}spans without content", bodies[0][0], "0", bodies == [(0,)])


def command(path: Path, *words: str) -> tuple[int, str]:
    """The exit status of the command `ironspan`, and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "ironspan", *words, "--store", str(path)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def statuses(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The open spans of a store as ironspan tells them, by status: `running` and `lost`."""
    code = """
import json, sys, ironspan
with ironspan.open_store(sys.argv[1]) as store:
    for row in store.traces(limit=None):
        if row["open"]:
            for span in store.trace(row["id"])["spans"]:
                if span["status"] in ("running", "lost"):
                    print(json.dumps(store.span(row["id"], span["id"])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=clean_environment(), capture_output=True, text=True, check=True
    )
    found: dict[str, list[dict[str, Any]]] = {"running": [], "lost": []}
    for line in done.stdout.splitlines():
        span = json.loads(line)
        found[span["status"]].append(span)
    return found


def eventually(condition: Callable[[], bool], timeout: float) -> float:
    """Seconds until the condition holds; infinite when it does not in time. What cannot be read does not hold."""
    began = time.monotonic()
    while time.monotonic() - began < timeout:
        with contextlib.suppress(sqlite3.Error):
            if condition():
                return time.monotonic() - began
        time.sleep(0.02)
    return float("inf")


class SmallDisk:
    """A folder on a disk of some megabytes that can be filled and freed again.

    Made before anything else of a scenario: a name space of mounts is for the processes that are started afterwards.
    Without the right to mount, the files of the apps it is told of are kept from growing, which ends as a failed write
    too, with another error.
    """

    def __init__(self, run: Run, megabytes: int) -> None:
        self.folder = run.folder()
        self.is_real = _mount(self.folder, megabytes)
        self._ballast = self.folder / "ballast"

    @property
    def kind(self) -> str:
        return "a full disk" if self.is_real else "files that cannot grow"

    @contextlib.contextmanager
    def full(self, *pids: int) -> Iterator[None]:
        """Full while the block runs."""
        if self.is_real:
            with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
                while ballast.write(b"\0" * 4096):
                    pass
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids if not self.is_real}
        for pid, (_, hard) in limits.items():
            # The app's report is a small file, and has to go on.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (32_768, hard))
        try:
            yield
        finally:
            for pid, limit in limits.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
            self._ballast.unlink(missing_ok=True)


def _mount(folder: Path, megabytes: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS) != 0:
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
            return False
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        except OSError:
            return False
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return False
    return bool(libc.mount(b"small", os.fsencode(folder), b"tmpfs", 0, f"size={megabytes}m,mode=700".encode()) == 0)
