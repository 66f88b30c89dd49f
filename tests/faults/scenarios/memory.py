"""M: memory, idle CPU, and what the log looks like when much is lost."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from itertools import pairwise
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.receivers import start
from tests.faults.scenarios import parts

__all__: list[str] = []


def pile_up(app: App, endpoint: str, spans: int, size: int) -> None:
    ironspan = app.init(endpoint)
    text = parts.BIG * (size // 1000)
    parts.make(ironspan, 100)
    memory = probe.Memory()
    for number in range(spans):
        with ironspan.span("small" if not size else "large") as span:
            span.set("number", number)
            if size:
                span.set("text", text)
    app.emit("over", growth=memory.peak_growth(), stats=ironspan.stats())


def judge_growth(run: Run, spans: int, size: int, bound: float, bar: str) -> None:
    for mode in ("refuse", "blackhole"):
        endpoint = run.receiver(mode).endpoint
        found = run.app(pile_up, endpoint=endpoint, spans=spans, size=size, timeout=300).one("over")
        run.account(found["stats"])
        growth = found["growth"]
        shown = f"{growth / 1e6:.0f} MB, dropped {found['stats']['dropped']}"
        run.check(f"memory growth, {mode}", shown, bar, growth <= bound)


@scenario("M01", "a million small spans, collector down")
def small_spans(run: Run) -> None:
    judge_growth(run, run.pick(300_000, 1_000_000), 0, 64e6, "at most 64 MB")


@scenario("M02", "20,000 spans of 100 KB, collector down")
def large_spans(run: Run) -> None:
    judge_growth(run, run.pick(5_000, 20_000), 100_000, 96 * (1 << 20), "at most 96 MiB")


def idle(app: App, endpoint: str, seconds: float) -> None:
    ironspan = app.init(endpoint)
    parts.make(ironspan, 1_000)
    settled = bool(ironspan.flush(2.0))
    cpu, wall = time.process_time(), time.monotonic()
    time.sleep(seconds)
    used, waited = time.process_time() - cpu, time.monotonic() - wall
    app.emit("idle", share=used / waited, settled=settled, pending=ironspan.stats()["pending"])


@scenario("M04", "idle after use, and after a failed export", lane="quiet")
def no_spin(run: Run) -> None:
    seconds = run.pick(25, 60)
    modes: list[tuple[str, dict[str, Any]]] = [("ok", {}), ("400", {"bad": None}), ("refuse", {}), ("blackhole", {})]
    running = [
        (mode, run.start(idle, endpoint=run.receiver(mode, **options).endpoint, seconds=seconds))
        for mode, options in modes
    ]
    for mode, process in running:
        found = run.finish(process, timeout=seconds + 40).one("idle")
        share = found["share"]
        shown = f"{share * 100:.3f} % over {seconds} s, {found['pending']} pending"
        run.check(f"CPU, {mode}", shown, "at most 0.1 %", share <= 0.001)


class Keep(logging.Handler):
    """Log lines of our logger with their times."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((time.monotonic(), record.getMessage()))


def ended(lines: list[tuple[float, str]]) -> list[str]:
    """The lines that say that the loss is over."""
    return [text for _, text in lines if text.startswith("no more spans")]


def drops(app: App, seconds: float, count: int) -> None:
    """Far more spans than fit while the collector is down; then it comes back. The receiver is this app's own child."""
    receiver = start("refuse", detail="count")
    keep = Keep()
    logger = logging.getLogger("ironspan")
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    ironspan = app.init(receiver.endpoint)
    began = time.monotonic()
    end = began + seconds
    chunk = max(1, int(count / (seconds * 100)))
    while time.monotonic() < end:
        parts.make(ironspan, chunk, text=parts.BIG)
        time.sleep(0.01)
    dropped = sum(ironspan.stats()["dropped"].values())
    during = len(keep.lines)
    receiver.switch("ok")
    back = time.monotonic()
    # Lines are written on the app's thread: it goes on making spans, one now and then.
    while time.monotonic() < back + 75 and not (ended(keep.lines) and ironspan.stats()["pending"] == 0):
        parts.make(ironspan, 1)
        ironspan.flush(0.5)
    # Long enough for a second line about the same end, if there were one.
    quiet = time.monotonic() + 12
    while time.monotonic() < quiet:
        parts.make(ironspan, 1)
        time.sleep(0.1)
    lines = [(at - began, text) for at, text in keep.lines]
    app.emit("lines", during=during, lines=lines, dropped=dropped)
    receiver.close()


@scenario("M05", "a million drops: the log stays readable", lane="quiet")
def readable_log(run: Run) -> None:
    seconds, count = run.pick(24, 60), run.pick(400_000, 1_000_000)
    found = run.app(drops, seconds=seconds, count=count, timeout=300).one("lines")
    during, lines = found["lines"][: found["during"]], found["lines"]
    allowed = seconds // 10 + 1
    shown = f"{len(during)} in {seconds} s for {found['dropped']} drops: {[text for _, text in during][:2]}"
    run.check("lines while spans are lost", shown, f"1 to {allowed}", 1 <= len(during) <= allowed)
    closest = min((after[0] - before[0] for before, after in pairwise(lines)), default=99.0)
    run.check("closest two", f"{closest:.1f} s", "at least 10 s", closest >= 9.9)
    counted = sum(bool(re.search(r"\d", text)) for _, text in lines)
    run.check("with a count", f"{counted} of {len(lines)}", "all", counted == len(lines))
    over = ended(lines)
    run.check("lines when it ends", f"{over}", "1, the last", len(over) == 1 and lines[-1][1] == over[0])


def log_together(app: App, endpoint: str, lines: int) -> None:
    """Two threads log through the standard library to stderr while ironspan has losses of its own to report."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("<%(name)s|%(message)s>"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    ironspan = app.init(endpoint)
    log = logging.getLogger("app")

    def write(name: str) -> None:
        for number in range(lines // 2):
            log.info("%s line %d with some words to be torn apart", name, number)
            parts.make(ironspan, 200, text=parts.BIG)

    workers = [threading.Thread(target=write, args=(name,)) for name in ("first", "second")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ironspan.flush(0.5)
    app.emit("over", stats=ironspan.stats())


@scenario("M07", "the app logs 1,000 lines while the SDK logs losses")
def logging_together(run: Run) -> None:
    for mode in ("refuse", "400"):
        options: dict[str, Any] = {"bad": None} if mode == "400" else {}
        result = run.app(log_together, endpoint=run.receiver(mode, **options).endpoint, lines=1_000, timeout=100)
        lines = result.stderr.splitlines()
        whole = re.compile(r"<(\w[\w.]*)\|[^<>]*>")
        torn = [line for line in lines if not whole.fullmatch(line)]
        ours = [line for line in lines if line.startswith("<ironspan")]
        theirs = [line for line in lines if line.startswith("<app|")]
        run.check(f"{mode}: the app's lines", len(theirs), "1,000", len(theirs) == 1_000)
        run.check(f"{mode}: torn lines and direct writes", f"{len(torn)} {torn[:1] or ''}", "0", not torn)
        run.check(f"{mode}: ours, through the logger", len(ours), "at least 1", len(ours) >= 1)
