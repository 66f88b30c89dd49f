"""Runs programs under tracers and judges what arrives. `run` is its command line, `test_conformance.py` its pytest."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import trees
from tests.conformance.conventions import read
from tests.conformance.receiver import Receiver

__all__ = ["Outcome", "Pool", "Warm", "execute", "programs"]

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
#: A program takes a few seconds, nearly all of them imports; one that takes this long is stuck.
LIMIT_SECONDS = 100.0


#: The first line of trees that nobody can meet before: a task takes no context there, and LangChain's says who asks.
SINCE_3_11 = "# From Python 3.11 on."


def programs() -> list[str]:
    """The names of all programs that this Python can run, `framework/name`, in order."""
    return sorted(
        tree.relative_to(PROGRAMS).with_suffix("").as_posix()
        for tree in PROGRAMS.rglob("*.tree")
        if sys.version_info >= (3, 11) or not tree.read_text(encoding="utf-8").startswith(SINCE_3_11)
    )


@dataclass
class Outcome:
    """How a program ran under a tracer: what is wrong, one sentence each, and what came, as text."""

    program: str
    problems: list[str]
    seen: str = ""
    expected: str = ""
    log: str = field(default="", repr=False)

    @property
    def passed(self) -> bool:
        return not self.problems

    def report(self) -> str:
        """What somebody needs who wants to know why it failed."""
        parts = [f"{self.program}:", *(f"  - {problem}" for problem in self.problems)]
        for title, text in (("expected", self.expected), ("seen", self.seen), ("printed", self.log)):
            parts += [f"  {title}:", *(f"    {line}" for line in text.strip().splitlines())]
        return "\n".join(parts)


class Warm:
    """A process that has imported the frameworks and forks for each program: see `child.py`. Needs `os.fork`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.child", "--serve"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def run(self, request: str) -> int:
        """Runs a request; its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


class Pool:
    """Processes to fork programs from, for so many at a time. With none, or without `os.fork`, each is started anew."""

    def __init__(self, size: int) -> None:
        self._idle: queue.SimpleQueue[Warm | None] = queue.SimpleQueue()
        self._all = [Warm() for _ in range(size)] if hasattr(os, "fork") else []
        for warm in self._all:
            self._idle.put(warm)

    def execute(self, program: str, tracer: str) -> Outcome:
        """As the function `execute`."""
        if not self._all:
            return execute(program, tracer)
        warm = self._idle.get()
        try:
            return execute(program, tracer, warm)
        finally:
            self._idle.put(warm)

    def close(self) -> None:
        """Ends the processes."""
        for warm in self._all:
            warm.close()


def execute(program: str, tracer: str, warm: Warm | None = None) -> Outcome:
    """Runs a program under a tracer in a process of its own, new or forked from `warm`, and judges its spans."""
    expected = (PROGRAMS / f"{program}.tree").read_text(encoding="utf-8")
    with Receiver() as receiver, tempfile.NamedTemporaryFile(suffix=".log") as log:
        request = json.dumps(
            {
                "program": program,
                "tracer": tracer,
                "endpoint": receiver.endpoint,
                "log": log.name,
                "limit_seconds": LIMIT_SECONDS,
            }
        )
        code = _run_new(request) if warm is None else warm.run(request)
        said = Path(log.name).read_text(errors="replace")
        seen = read(receiver.spans())
    if code == 0:
        problems = trees.judge(trees.parse(expected), seen)
    elif code == -signal.SIGKILL:
        problems = [f"the program did not end within {LIMIT_SECONDS:.0f} seconds"]
    else:
        problems = ["the program failed: " + (said.strip().splitlines() or [f"exit code {code}"])[-1]]
    return Outcome(program, problems, trees.show(seen), expected, said)


def _run_new(request: str) -> int:
    command = [sys.executable, "-m", "tests.conformance.child", request]
    try:
        return subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL
