"""X, first part: the end of a process, signals, flush, shutdown and starting again."""

from __future__ import annotations

import signal
import statistics
import sys
import threading
import time
import weakref
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Run, ms, scenario
from tests.faults.scenarios import parts

__all__: list[str] = []

DEAD_ENDS: dict[str, dict[str, Any]] = {
    "refuse": {},
    "blackhole": {},
    "503": {},
    "429": {"retry_after": "30"},
    "rst": {},
    "drip": {},
}


def script(app: App, endpoint: str, how: str) -> None:
    """A script of 100 spans that ends in one of three ways. Without an endpoint it does the same without ironspan."""
    if endpoint:
        parts.make(app.init(endpoint), 100)
    app.done()
    if how == "exit":
        sys.exit(3)
    if how == "raise":
        raise KeyError("of the app's own")


@scenario("X01", "100 spans, healthy collector: return, sys.exit(3), uncaught exception", lane="timed")
def normal_ends(run: Run) -> None:
    receiver = run.receiver("ok")
    runs = run.pick(5, 20)
    for how in ("return", "exit", "raise"):
        plain, traced = [], []
        quiet = how != "raise"
        for _ in range(runs):
            plain.append(run.app(script, endpoint="", how=how, code=None, quiet=quiet))
            traced.append(run.app(script, endpoint=receiver.endpoint, how=how, code=None, quiet=quiet))
        added = statistics.median(r.exit_seconds for r in traced) - statistics.median(r.exit_seconds for r in plain)
        codes = {(a.code, b.code) for a, b in zip(plain, traced, strict=True)}
        same = all(a == b for a, b in codes) and not any(r.hung for r in traced)
        run.check(f"{how}: exit code", sorted({b for _, b in codes}), "as without ironspan", same)
        run.check(f"{how}: added", ms(added), "at most 0.5 s", added <= 0.5)
        said = {b.stderr for b in traced} - {a.stderr for a in plain}
        run.check(f"{how}: stderr", f"{sum(map(len, said))} bytes of ours", "0", not said)
    report = receiver.report()
    run.check(
        "arrived", f"{report['unique']} of {300 * runs}", "all", report["unique"] == report["spans"] == 300 * runs
    )


@scenario("X02", "100 spans, normal end, dead ends for collectors", lane="timed")
def dead_ends(run: Run) -> None:
    worst: dict[str, float] = {}
    for _ in range(run.pick(2, 30)):
        running = []
        for mode, options in DEAD_ENDS.items():
            running.append((mode, run.start(parts.leave, endpoint=run.receiver(mode, **options).endpoint, spans=100)))
        for mode, process in running:
            worst[mode] = max(worst.get(mode, 0.0), run.finish(process).exit_seconds)
    for mode, seconds in worst.items():
        run.check(f"exit, {mode}", f"{seconds:.2f} s", "at most 5 s", seconds <= 5.0)


def blocked_flush(app: App, endpoint: str) -> None:
    # A shell that started all this in the background has SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ironspan = app.init(endpoint)
    parts.make(ironspan, 10)
    app.emit("flushing")
    ironspan.flush(60.0)


@scenario("X06", "Ctrl-C during a blocked flush, and again", lane="quiet")
def interrupted_flush(run: Run) -> None:
    slowest = 0.0
    for _ in range(run.pick(3, 20)):
        process = run.start(blocked_flush, endpoint=run.receiver("blackhole").endpoint)
        process.await_event("flushing", 20)
        time.sleep(0.3)
        process.signal(signal.SIGINT)
        time.sleep(0.5)
        second = process.signal(signal.SIGINT)
        slowest = max(slowest, process.ended(20) - second)
        result = process.result(1)
        for event in result.all("exit"):
            run.account(event["stats"])
        if result.code not in (1, 130, -signal.SIGINT):
            run.check("exit code", result.code, "that of KeyboardInterrupt", False)
    run.check("gone after the second", f"{slowest:.2f} s", "within 1 s", slowest <= 1.0)


class Late:
    """Makes a span when it is collected."""

    def __init__(self, ironspan: Any) -> None:
        self.ironspan = ironspan

    def __del__(self) -> None:
        with self.ironspan.span("late") as span:
            span.set("where", "__del__")


KEPT: list[Any] = []


def last_words(app: App, endpoint: str) -> None:
    """Spans from every place that runs after the program: before and after ironspan's own exit function."""
    import atexit

    import ironspan

    def at_exit() -> None:
        parts.make(ironspan, 2, "atexit")
        ironspan.current().set("k", 1)
        ironspan.flush(0.5)

    atexit.register(at_exit)
    app.init(endpoint)
    atexit.register(at_exit)
    target = Late(ironspan)
    KEPT.append(target)
    # At module teardown, in this order or another: a global, a reference cycle, weakref callbacks, a thread's locals.
    cycle = Late(ironspan)
    cycle.self = cycle  # type: ignore[attr-defined]
    KEPT.append(weakref.ref(target, lambda _: parts.make(ironspan, 1, "weakref")))
    weakref.finalize(target, parts.make, ironspan, 1, "finalize")
    sys.modules["faults_kept"] = Late(ironspan)  # type: ignore[assignment]
    entered = ironspan.span("never closed")
    entered.__enter__()
    KEPT.append(entered)
    parts.make(ironspan, 10)


@scenario("X08", "spans in atexit, __del__, weakref callbacks and module teardown")
def teardown(run: Run) -> None:
    receiver = run.receiver("ok")
    runs = run.pick(30, 1_000)
    noisy = []
    for _ in range(0, runs, 2):
        pair = [run.start(last_words, endpoint=receiver.endpoint) for _ in range(2)]
        for process in pair:
            result = run.finish(process)
            if result.stderr or result.code:
                noisy.append(f"{result.code}: {result.stderr.strip()[-300:]}")
    run.check("exceptions and signals", f"{len(noisy)} in {runs} runs {noisy[:1] or ''}", "0", not noisy)


def many_shutdowns(app: App, endpoint: str, healthy: str, limit: float) -> None:
    before = probe.threads()
    ironspan = app.init(endpoint)
    parts.make(ironspan, 500)
    slow: list[float] = []
    raised: list[str] = []

    def stop() -> None:
        watch = probe.Stopwatch()
        for _ in range(2):
            try:
                slow.append(watch.time(lambda: ironspan.shutdown(limit)) / 1e9)
            except BaseException as error:
                raised.append(repr(error))

    with ironspan.span("open while it is shut down"):
        workers = [threading.Thread(target=stop) for _ in range(16)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        signal.signal(signal.SIGUSR1, lambda *_: stop())
        signal.raise_signal(signal.SIGUSR1)
        stop()
    deadline = time.monotonic() + 5
    while probe.threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    parts.make(ironspan, 10)
    left = probe.threads() - before
    names = sorted(set(probe.task_names().values()))
    app.emit("stopped", slowest=max(slow), raised=raised, left=left, names=names, stats=ironspan.stats())
    again = app.init(healthy)
    parts.make(again, 100, "again")
    again.flush(10.0)


@scenario("X09", "shutdown from 16 threads, twice, in a span, in a signal handler; then init again", lane="timed")
def shutdowns(run: Run) -> None:
    slowest = 0.0
    for mode in ("blackhole", "refuse", "ok"):
        healthy = run.receiver("ok")
        endpoint = run.receiver(mode).endpoint
        result = run.app(many_shutdowns, endpoint=endpoint, healthy=healthy.endpoint, limit=1.0)
        stopped = result.one("stopped")
        run.account(stopped["stats"])
        slowest = max(slowest, stopped["slowest"])
        run.check(f"{mode}: raised", stopped["raised"], "nothing", not stopped["raised"])
        run.check(f"{mode}: threads left", f"{stopped['left']} {stopped['names']}", "0", stopped["left"] == 0)
        arrived = healthy.report()["unique"]
        run.check(f"{mode}: delivered after a new init", arrived, "100", arrived == 100)
    run.check("slowest shutdown(1.0)", f"{slowest:.3f} s", "at most 1.1 s", slowest <= 1.1)


def short_flushes(app: App, endpoint: str, count: int) -> None:
    ironspan = app.init(endpoint)
    watch = probe.Stopwatch()
    taken, truths = [], 0

    def flush() -> None:
        nonlocal truths
        truths += bool(ironspan.flush(0.1))

    for _ in range(count):
        parts.make(ironspan, 1)
        taken.append(watch.time(flush) / 1e9)
    app.emit("flushed", slowest=max(taken), truths=truths)


@scenario("X10", "flush(0.1) into dead ends", lane="timed")
def flush_keeps_time(run: Run) -> None:
    count = run.pick(60, 1_000)
    running = []
    for mode, options in DEAD_ENDS.items():
        endpoint = run.receiver(mode, **options).endpoint
        running.append((mode, run.start(short_flushes, endpoint=endpoint, count=count)))
    for mode, process in running:
        found = run.finish(process, timeout=300).one("flushed")
        good = found["slowest"] <= 0.2 and found["truths"] == 0
        shown = f"{found['slowest'] * 1e3:.0f} ms, said done {found['truths']} times"
        run.check(f"{mode}: slowest of {count}", shown, "at most 200 ms, never done", good)


def sleeper(app: App, endpoint: str) -> None:
    import json

    from tests.faults.probe import task_names

    ironspan = app.init(endpoint)

    def handler(number: int, frame: object) -> None:
        app.emit("handled")

    signal.signal(signal.SIGUSR1, handler)
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            parts.make(ironspan, 5)
            time.sleep(0.002)

    thread = threading.Thread(target=keep_busy)
    thread.start()
    time.sleep(0.3)
    ours, open_to_signals = [], []
    for number, name in task_names().items():
        if not name.startswith("ironspan"):
            continue
        ours.append(name)
        with open(f"/proc/self/task/{number}/status", encoding="ascii") as status:
            blocked = int(next(line.split()[1] for line in status if line.startswith("SigBlk")), 16)
        # SIGKILL (9) and SIGSTOP (19) cannot be blocked, 32 and 33 belong to the C library.
        wanted = sum(1 << (n - 1) for n in range(1, 32) if n not in (9, 19))
        if blocked & wanted != wanted:
            open_to_signals.append(name)
    app.emit("ready", ours=json.dumps(ours), open=open_to_signals)
    end = time.monotonic() + 30
    while time.monotonic() < end and not stop.is_set():
        time.sleep(10)
        stop.set()
    thread.join()


@scenario("X14", "a signal while exporter threads run and the main thread sleeps", lane="timed")
def prompt_signals(run: Run) -> None:
    process = run.start(sleeper, endpoint=run.receiver("ok", detail="count").endpoint)
    ready = process.await_event("ready", 20)
    slowest = 0.0
    count = run.pick(20, 60)
    for number in range(count):
        sent = process.signal(signal.SIGUSR1)
        handled = process.await_event("handled", 5, number + 1)["at"]
        slowest = max(slowest, handled - sent - run.machine.stalled(sent, handled))
        time.sleep(0.05)
    run.finish(process)
    run.check("our threads", ready["ours"], "some", ready["ours"] != "[]")
    run.check("that do not block signals", ready["open"], "none", not ready["open"])
    run.check(f"slowest handler of {count}", ms(slowest), "within 100 ms", slowest <= 0.1)


def restarts(app: App, endpoints: list[str], count: int) -> None:
    ironspan: Any = None

    def again(number: int) -> None:
        nonlocal ironspan
        chosen = endpoints[number % len(endpoints)]
        ironspan = app.init(chosen, service=f"service-{number}", headers={"x-round": str(number)})
        parts.make(ironspan, 5)

    for number in range(5):
        again(number)
    ironspan.flush(5.0)
    memory, threads, files = probe.Memory(), probe.threads(), len(probe.descriptors())
    most = 0
    for number in range(count):
        again(number)
        most = max(most, probe.threads() - threads)
    ironspan.flush(10.0)
    left = probe.threads() - threads
    files_left = len(probe.descriptors()) - files
    app.emit("restarted", most=most, threads=left, files=files_left, memory=memory.growth())


@scenario("X15", "init() 200 times with changing configuration")
def many_inits(run: Run) -> None:
    healthy = [run.receiver("ok") for _ in range(2)]
    endpoints = [receiver.endpoint for receiver in healthy]
    result = run.app(restarts, endpoints=endpoints, count=200, timeout=100)
    found = result.one("restarted")
    run.check("threads", f"+{found['threads']}, at most +{found['most']} on the way", "+1", found["threads"] <= 1)
    run.check("descriptors", f"+{found['files']}", "+8", found["files"] <= 8)
    run.check("memory", f"+{found['memory'] / 1e6:.1f} MB", "+10 MB", found["memory"] <= 10e6)
    arrived = sum(receiver.report()["unique"] for receiver in healthy)
    run.check("arrived", f"{arrived} of {result.stats['created']}", "all", arrived == result.stats["created"] == 1025)
    dead = [run.receiver("blackhole").endpoint, run.receiver("refuse").endpoint]
    # Each start first gives the spans of the one before its 2 seconds.
    found = run.app(restarts, endpoints=dead, count=run.pick(3, 200), timeout=600).one("restarted")
    run.check("threads, dead collectors", f"+{found['threads']}", "+1", found["threads"] <= 1)
    run.check("descriptors, dead collectors", f"+{found['files']}", "+8", found["files"] <= 8)
