"""The command line of ``ironspan demo``: where the spans go, what is run, what is said about it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import ironspan
from ironspan._core import command
from ironspan._progress import Progress
from ironspan.demo._model import Pace
from ironspan.demo._script import QUESTION
from ironspan.demo._workflow import Finished, Job

__all__ = ["main"]

#: Seconds between two runs of --loop.
_PAUSE = 3.0
_QUESTIONS = (
    QUESTION,
    "Is one SQLite file enough for the traces of three services? How much space do a million spans take?",
    "When do we have to move our traces from SQLite to Postgres, and how large are they by then?",
)


def _count(text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if not 1 <= number <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10,000,000")
    return number


def _speed(text: str) -> float:
    number = float(text)
    if not 0.01 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.01 and 10,000")
    return number


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="ironspan demo",
        description="Runs a team of agents with scripted models: no key, no network, no other package.",
        epilog="exit status: 0 the demo ran (the agents of --fail fail, as they should), 2 wrong usage or a framework "
        "that is not installed",
    )
    what = options.add_mutually_exclusive_group()
    what.add_argument(
        "--history", type=_count, metavar="N", help="record N varied traces of the last 24 hours, at once"
    )
    what.add_argument("--big", type=_count, metavar="N", help="record one trace of N spans, at once")
    what.add_argument("--loop", action="store_true", help="run again every few seconds until Ctrl-C")
    how = options.add_mutually_exclusive_group()
    how.add_argument("--langchain", action="store_true", help="the same team, with LangChain")
    how.add_argument("--llamaindex", action="store_true", help="the same team, with LlamaIndex")
    how.add_argument("--fail", choices=["hard"], help="let the coder's repair fail, and the run with it")
    pace = options.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="N times as fast as models are")
    pace.add_argument("--fast", action="store_true", help="without any waiting")
    options.add_argument("--store", type=Path, metavar="PATH", help="store to write (default: demo.db among your data)")
    options.add_argument("--otlp", metavar="URL", help="send the spans to this collector, too")
    options.add_argument("--file", type=Path, metavar="FILE.jsonl", help="append the spans as OTLP JSON lines, too")
    options.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    parser = _options()
    options = parser.parse_args(argv)
    if (options.history or options.big) and (options.langchain or options.llamaindex or options.fail):
        parser.error("--history and --big make traces of their own; leave --langchain, --llamaindex and --fail out")
    name = "_langchain" if options.langchain else "_llamaindex" if options.llamaindex else "_workflow"
    try:
        body: Callable[[Job], Finished] = import_module(f"ironspan.demo.{name}").run
    except ImportError as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2
    store = (options.store or _default_store()).absolute()
    store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _configure(options, store)
    except ironspan.ConfigError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    try:
        if options.history or options.big:
            _made_up(options, store)
        else:
            _live(options, store, body)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        ironspan.shutdown(10.0)
    return 0


def _default_store() -> Path:
    """A file of its own among the user's data, so that the demo's traces do not mix with real ones."""
    if sys.platform == "win32":
        folder = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        named = os.environ.get("XDG_DATA_HOME", "")
        folder = named if os.path.isabs(named) else Path.home() / ".local" / "share"
    return Path(folder) / "ironspan" / "demo.db"


def _configure(options: argparse.Namespace, store: Path) -> None:
    exporters: list[Any] = []
    if options.file:
        exporters.append(ironspan.exporters.File(options.file))
    if options.otlp:
        exporters.append(ironspan.exporters.Otlp(options.otlp))
    ironspan.init("demo", store=store, exporters=exporters, environment="demo", threads=True, sample=1.0)


def _made_up(options: argparse.Namespace, store: Path) -> None:
    from ironspan.demo._history import big, history

    now = time.time_ns()
    if options.history:
        with Progress("traces recorded", options.history) as progress:
            spans = history(options.history, until=now, told=progress.at)
        print(f"{options.history:,} traces with {spans:,} spans of the last 24 hours are in {store}")
        print(f"  ironspan stats --store {store}\n  ironspan view --store {store}")
    else:
        with Progress("spans recorded", options.big) as progress:
            trace = big(options.big, until=now, told=progress.at)
        print(f"trace {trace[:7]} with {options.big:,} spans is in {store}")
        print(f"  ironspan show {trace[:7]} --store {store}\n  ironspan view {trace[:7]} --store {store}")
    _lost()


def _live(options: argparse.Namespace, store: Path, body: Callable[[Job], Finished]) -> None:
    pace = Pace(0.0 if options.fast else options.speed)
    child = {
        "store": str(store),
        "otlp": options.otlp,
        "file": str(options.file.absolute()) if options.file else None,
    }
    print(f"store: {store}\n", flush=True)
    with _page(store, wanted=not options.no_open and sys.stdout.isatty()):
        _runs(options, store, body, pace, child)
    _lost()


def _runs(
    options: argparse.Namespace,
    store: Path,
    body: Callable[[Job], Finished],
    pace: Pace,
    child: dict[str, Any],
) -> None:
    number = 0
    while True:
        job = Job(
            question=_QUESTIONS[number % len(_QUESTIONS)],
            pace=pace,
            session="sess-demo" if number == 0 else f"sess-demo-{number // 3}",
            fail_hard=options.fail == "hard" or (options.loop and number % 5 == 4),
            child=child,
        )
        finished = body(job)
        ironspan.flush(10.0)
        _tell(finished, store)
        if not options.loop:
            return
        number += 1
        pace.wait(_PAUSE)


@contextlib.contextmanager
def _page(store: Path, *, wanted: bool) -> Iterator[None]:
    """The page in the browser, at the run that has just begun; afterwards until Ctrl-C."""
    pages: list[subprocess.Popen[bytes]] = []

    def begin() -> None:
        words = [sys.executable, "-m", "ironspan", "view", "last", "--store", str(store)]
        pages.append(subprocess.Popen(words))

    # By then the beginning of the run is in the store.
    timer = threading.Timer(1.0, begin)
    if wanted:
        timer.start()
    try:
        yield
        if wanted:
            timer.join(5.0)
        for page in pages:
            page.wait()
    finally:
        timer.cancel()
        for page in pages:
            page.terminate()


def _tell(finished: Finished, store: Path) -> None:
    sys.stdout.flush()
    command(
        ["ironspan", "show", finished.trace_id, "--store", str(store)],
        columns=shutil.get_terminal_size((118, 24)).columns,
    )
    if finished.error is not None:
        print(f"\nThe agents failed: {type(finished.error).__name__}: {finished.error}\n", flush=True)
    else:
        print(f"\n{finished.answer}\n\nThe judge gives it {finished.score}.\n", flush=True)


def _lost() -> None:
    """A word when spans did not arrive: a demo that loses some in silence would show the wrong thing."""
    report = ironspan.flush(10.0)
    lost = sum(report.dropped.values()) + report.rejected + report.pending
    if lost:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.dropped.items())
        print(f"warning: {lost:,} spans did not arrive everywhere ({reasons or 'see the log'})", file=sys.stderr)
