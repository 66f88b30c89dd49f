"""Scenarios, the processes they start, and the checks they make.

A scenario is a function decorated with `@scenario(id, ...)` that gets a `Run`: it starts receivers and apps through it
and states each criterion with `run.check(...)`. `python -m tests.faults.harness ID` runs one and prints one JSON line;
`tests/faults/run` runs many. Whatever a scenario does, every app that ends by itself is also held to three promises:
its exit code, no traceback or panic on stderr, and the identity of the counts at its end.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.faults import receivers
from tests.faults.machine import Machine

__all__ = ["MODULES", "SCENARIOS", "Process", "Result", "Run", "Scenario", "identity", "load", "ms", "scenario", "us"]

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "export",
    "hostile",
    "process",
    "starvation",
    "forks",
    "context",
    "python_semantics",
    "memory",
    "callbacks",
    "trees",
    "endings",
    "unfriendly",
    "store",
    "store_places",
)
# quiet: waits most of the time, may run beside anything. busy: uses CPU, judges no times. timed: wants the machine.
LANES = ("quiet", "busy", "timed")


class NotRun(Exception):
    """The scenario cannot be run here; the text says what is missing."""


@dataclass
class Scenario:
    id: str
    title: str
    lane: str
    work: Callable[[Run], None]


SCENARIOS: dict[str, Scenario] = {}


def scenario(number: str, title: str, lane: str = "busy") -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Register a function as a scenario of reliability.md's table, under its id."""
    assert lane in LANES, lane

    def register(work: Callable[[Run], None]) -> Callable[[Run], None]:
        assert number not in SCENARIOS, number
        SCENARIOS[number] = Scenario(number, title, lane, work)
        return work

    return register


def load() -> dict[str, Scenario]:
    for name in MODULES:
        importlib.import_module(f"tests.faults.scenarios.{name}")
    return SCENARIOS


def identity(stats: Mapping[str, Any]) -> bool:
    """created == delivered + rejected + sum(dropped) + pending."""
    settled = stats["delivered"] + stats["rejected"] + sum(stats["dropped"].values()) + stats["pending"]
    return bool(stats["created"] == settled)


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e3:.1f} us"


@dataclass
class Result:
    """How an app ended. `code` is negative for a signal; `hung` if it had to be killed; `ended` is monotonic time."""

    code: int
    ended: float
    exit_seconds: float
    hung: bool
    stdout: str
    stderr: str
    events: list[dict[str, Any]]

    def one(self, event: str) -> dict[str, Any]:
        """The only event of that name."""
        found = self.all(event)
        if len(found) != 1:
            raise LookupError(f"{len(found)} events {event!r}; exit code {self.code}; stderr: {self.stderr[-400:]!r}")
        return found[0]

    def all(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["event"] == event]

    @property
    def stats(self) -> dict[str, Any]:
        """Counts at the very end of the first process (not of its forked children)."""
        found = [event["stats"] for event in self.all("exit") if event["origin"]]
        if not found:
            raise LookupError(f"no final counts; exit code {self.code}; stderr: {self.stderr[-400:]!r}")
        return dict(found[0])


class Process:
    """A running app."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.report = folder / "report"
        self.report.touch()
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment | {"FAULTS_REPORT": str(self.report)},
            )
        self._ended = time.monotonic()
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        # On a thread of its own: of several apps each gets its true end, whichever the scenario asks about first.
        self.popen.wait()
        self._ended = time.monotonic()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def events(self) -> list[dict[str, Any]]:
        # A last line without its end is still being written.
        return [json.loads(line) for line in self.report.read_text().split("\n")[:-1]]

    def await_event(self, name: str, timeout: float, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of that name."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [event for event in self.events() if event["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            if not self._waiter.is_alive():
                break
            time.sleep(0.005)
        raise LookupError(f"no event {name!r} (number {count}); stderr: {self._err.read_text()[-400:]!r}")

    def signal(self, number: int) -> float:
        """Send a signal; the time just before."""
        at = time.monotonic()
        self.popen.send_signal(number)
        return at

    def kill(self) -> None:
        if self._waiter.is_alive():
            self.popen.kill()
            self._waiter.join()

    def ended(self, timeout: float) -> float:
        """When it ended, on the monotonic clock."""
        self._waiter.join(timeout)
        if self._waiter.is_alive():
            raise TimeoutError(f"still running after {timeout:.0f} s")
        return self._ended

    def result(self, timeout: float) -> Result:
        """Wait for the end; after `timeout` the app is made to print its stacks and is killed."""
        self._waiter.join(timeout)
        hung = self._waiter.is_alive()
        if hung:
            # PYTHONFAULTHANDLER makes this print the stack of every Python thread.
            self.popen.send_signal(signal.SIGABRT)
            self._waiter.join(5)
            self.popen.kill()
            self._waiter.join()
        events = self.events()
        done = next((event["at"] for event in events if event["event"] == "done"), self._ended)
        out, err = (path.read_bytes().decode(errors="replace") for path in (self._out, self._err))
        return Result(self.popen.returncode, self._ended, self._ended - done, hung, out, err, events)


@dataclass
class Check:
    what: str
    measured: str
    bar: str
    passed: bool

    def rendered(self) -> str:
        return f"{self.what}: {self.measured} ({self.bar})" + ("" if self.passed else " <-- FAILED")


@dataclass
class Run:
    """One run of one scenario. `full`: the counts of the table; otherwise smaller ones, with the same criteria."""

    full: bool
    checks: list[Check] = field(default_factory=list)
    identities: list[bool] = field(default_factory=list)
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="faults-")))
    _receivers: list[receivers.Remote] = field(default_factory=list)
    _processes: list[Process] = field(default_factory=list)
    _made: int = 0
    machine: Machine = field(default_factory=Machine)

    def pick(self, short: int, full: int) -> int:
        return full if self.full else short

    def check(self, what: str, measured: object, bar: str, passed: bool) -> None:
        """State one criterion: what it is, what was measured, the bar, and whether it is met."""
        self.checks.append(Check(what, str(measured), bar, bool(passed)))

    def account(self, stats: Mapping[str, Any]) -> None:
        """Hold counts to the identity."""
        good = identity(stats)
        self.identities.append(good)
        if not good:
            self.check("identity", json.dumps({name: stats[name] for name in _COUNTS}), "exact", False)

    def skip(self, why: str) -> None:
        raise NotRun(why)

    def need(self, *modules: str) -> None:
        """Skip the scenario where one of the modules is not installed."""
        for name in modules:
            if find_spec(name.partition(".")[0]) is None or find_spec(name) is None:
                self.skip(f"{name} is not installed")

    def receiver(self, mode: str = "ok", *, detail: str = "ids", **options: Any) -> receivers.Remote:
        """A receiver process that lives as long as the scenario."""
        made = receivers.start(mode, detail=detail, **options)
        self._receivers.append(made)
        return made

    def folder(self) -> Path:
        """A new empty folder, deleted at the end."""
        self._made += 1
        made = self._folder / str(self._made)
        made.mkdir()
        return made

    def shim(self, name: str) -> str:
        """Compile `shims/NAME.c` for LD_PRELOAD; its path."""
        compiler = shutil.which("cc")
        if compiler is None:
            self.skip("no C compiler (cc) for the preload shim")
        source, target = Path(__file__).parent / "shims" / f"{name}.c", self._folder / f"{name}.so"
        if not target.exists():
            flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(target), str(source), "-ldl"]
            subprocess.run([str(compiler), *flags], check=True)
        return str(target)

    def start(
        self,
        work: Callable[..., None],
        *,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        flags: tuple[str, ...] = (),
        **arguments: Any,
    ) -> Process:
        """Start an app: `work(app, **arguments)` in a process of its own."""
        command = [python, *flags, "-m", "tests.faults.app", work.__module__, work.__name__, json.dumps(arguments)]
        seen = {"FAULTS_MACHINE": self.machine.folder}
        process = Process(command, clean_environment() | seen | dict(environment or {}), self.folder())
        self._processes.append(process)
        return process

    def app(
        self,
        work: Callable[..., None],
        *,
        code: int | None = 0,
        timeout: float = 60.0,
        quiet: bool = True,
        internal: int | None = 0,
        **named: Any,
    ) -> Result:
        """Start an app, wait for its end, hold it to the promises every app is held to."""
        return self.finish(self.start(work, **named), code=code, timeout=timeout, quiet=quiet, internal=internal)

    def finish(
        self,
        process: Process,
        *,
        code: int | None = 0,
        timeout: float = 60.0,
        quiet: bool = True,
        internal: int | None = 0,
    ) -> Result:
        """Wait for an app.

        `code`: the exit code it must have; `internal`: the number of internal errors (None: any); `quiet`: no traceback
        on stderr.
        """
        result = process.result(timeout)
        result.exit_seconds -= self.machine.stalled(result.ended - result.exit_seconds, result.ended)
        if result.hung:
            self.check("ends by itself", f"hung after {timeout:.0f} s: {_tail(result.stderr)}", "no hang", False)
        elif code is not None and result.code != code:
            self.check("exit code", f"{result.code}: {_tail(result.stderr)}", str(code), False)
        loud = "panicked at" in result.stderr or (quiet and "Traceback (most recent call last)" in result.stderr)
        if loud and not result.hung:
            self.check("stderr", _tail(result.stderr), "no traceback, no panic", False)
        for event in result.all("exit"):
            self.account(event["stats"])
            errors = event["stats"]["internal_errors"]
            if internal is not None and errors != internal:
                self.check("internal errors", errors, str(internal), False)
        return result

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for receiver in self._receivers:
            if receiver.process.poll() is None:
                receiver.close()
        self.machine.close()
        shutil.rmtree(self._folder, ignore_errors=True)


_COUNTS = ("created", "delivered", "rejected", "dropped", "pending")


def _tail(text: str) -> str:
    """The end of a stderr, on one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-12:])[-900:]


def clean_environment() -> dict[str, str]:
    """The environment of an app: nothing that configures tracing or proxies, memory-only delivery."""
    dropped = ("OTEL_", "IRONSPAN_", "DD_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and not name.lower().endswith("_proxy")
    }
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", "IRONSPAN_SPOOL": "off"}


@contextmanager
def _running(full: bool) -> Iterator[Run]:
    run = Run(full)
    try:
        yield run
    finally:
        run.close()


def execute(number: str, full: bool) -> dict[str, Any]:
    """Run one scenario here; what happened, ready for JSON."""
    found = load()[number]
    began = time.monotonic()
    outcome = "passed"
    with _running(full) as run:
        try:
            found.work(run)
        except NotRun as reason:
            return {"id": number, "outcome": "not run", "line": str(reason), "seconds": time.monotonic() - began}
        except Exception as error:
            # A scenario that breaks has shown nothing: that is a failure, with the reason in the line.
            run.check("scenario ran to its end", f"{type(error).__name__}: {error}", "yes", False)
        if run.identities:
            good = sum(run.identities)
            run.check("identity", f"{good}/{len(run.identities)}", "all", good == len(run.identities))
        if not run.checks or not all(check.passed for check in run.checks):
            outcome = "failed"
        line = "; ".join(check.rendered() for check in run.checks)
    return {"id": number, "outcome": outcome, "line": line, "seconds": time.monotonic() - began}


def main() -> None:
    number = sys.argv[1]
    print(json.dumps(execute(number, "--full" in sys.argv[2:])), flush=True)


if __name__ == "__main__":
    # As `__main__` this module exists twice: the scenarios import the other copy, so that one has to do the work.
    from tests.faults.harness import main as run_main

    run_main()
