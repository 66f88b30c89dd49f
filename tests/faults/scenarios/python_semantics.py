"""C, second part: the limits and oddities of the interpreter, clocks, names without end, and the import itself."""

from __future__ import annotations

import ctypes
import gc
import logging
import resource
import signal
import sys
import time
from types import FrameType
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.scenarios import parts

__all__: list[str] = []


def at_the_recursion_limit(app: App, endpoint: str) -> None:
    ironspan = app.init(endpoint)
    raised: list[str] = []
    reached = 0

    def use() -> None:
        nonlocal reached
        reached += 1
        try:
            with ironspan.span("deep") as span:
                span.set("text", "x")
                span.event("e", level="info")
                span.input({"a": [1, 2, {"b": "c"}]})
            ironspan.current()
            ironspan.inject({})
        except BaseException as error:
            raised.append(f"{type(error).__name__}: {error}")

    def down(left: int) -> None:
        if left > 0:
            down(left - 1)
        else:
            use()

    def depth_here() -> int:
        depth = 0
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        return depth

    # `use` itself is one frame: at the call of span() five are left.
    down(sys.getrecursionlimit() - depth_here() - 6)
    own = 0

    def endless() -> None:
        with ironspan.span("endless"):
            endless()

    try:
        endless()
    except RecursionError:
        own += 1
    with ironspan.span("after") as after:
        after.set("k", 1)
    app.emit("over", raised=raised, own=own, reached=reached, current=ironspan.current().recording)


def without_memory(app: App, endpoint: str) -> None:
    """Values that cannot be copied within the limit: the app's own text exists, a second one has no room."""
    ironspan = app.init(endpoint)
    parts.make(ironspan, 10)
    big = "x" * (64 << 20)
    wide = "\u4e16" * (16 << 20)
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (probe.Memory.now("VmSize:") + (8 << 20), unlimited[1]))
    raised: list[str] = []
    own = 0
    for value in (big, wide, [big] * 10, {"a": wide}):
        try:
            with ironspan.span("no room") as span:
                span.set("text", value)
                span.input(value)
        except BaseException as error:
            raised.append(type(error).__name__)
    try:
        bytes(64 << 20)
    except MemoryError:
        own += 1
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
    parts.make(ironspan, 10, "after")
    app.emit("over", raised=raised, own=own, flushed=bool(ironspan.flush(5.0)))


@scenario("C11", "at the recursion limit, and out of memory")
def limits_of_the_interpreter(run: Run) -> None:
    receiver = run.receiver("ok", detail="spans")
    # A call of ours may fail there as any other call: that counts as an internal error, and stays inside.
    found = run.app(at_the_recursion_limit, endpoint=receiver.endpoint, internal=None).one("over")
    run.check("raised at the limit minus 5", found["raised"], "nothing", not found["raised"] and found["reached"] == 1)
    run.check("the app's own RecursionError", found["own"], "seen", found["own"] == 1)
    run.check("current span afterwards", found["current"], "none left", not found["current"])
    arrived = [span for span in receiver.spans() if span["name"] in ("deep", "after")]
    whole = all(span["attributes"] for span in arrived)
    run.check("spans whole", f"{len(arrived)}", "2", len(arrived) == 2 and whole)
    receiver = run.receiver("ok")
    result = run.app(without_memory, endpoint=receiver.endpoint, code=None, internal=None)
    shown: object = f"exit code {result.code} {result.stderr.strip().splitlines()[:1]}"
    good = False
    if result.code == 0:
        found = result.one("over")
        shown, good = found["raised"], not found["raised"] and found["own"] == 1
        arrived_after = receiver.report()["unique"]
        run.check("after it", f"{arrived_after} arrived", "goes on", found["flushed"] and arrived_after >= 20)
    run.check("out of memory", shown, "app lives, sees only its own error", good)


class SpanningHandler(logging.Handler):
    """A log handler that makes spans, and logs while it does."""

    def __init__(self, ironspan: Any) -> None:
        super().__init__()
        self.ironspan = ironspan
        self.inside = False

    def emit(self, record: logging.LogRecord) -> None:
        if self.inside:
            return
        self.inside = True
        with self.ironspan.span("log") as span:
            span.set("message", record.getMessage())
            logging.getLogger("ironspan").info("from inside a handler")
        self.inside = False


def reentry(app: App, endpoint: str, count: int, where: str) -> None:
    ironspan = app.init(endpoint)
    before = ironspan.stats()["created"]
    inside = 0

    def span_inside(*_: object) -> None:
        nonlocal inside
        inside += 1
        with ironspan.span("inside") as span:
            span.set("k", "v")

    def outside() -> None:
        with ironspan.span("outside") as span:
            span.set("list", [1, "two", {"three": 3.0}])
            span.event("e", level="info", number=1)

    if where == "logging":
        logging.getLogger().addHandler(SpanningHandler(ironspan))
        logging.getLogger().setLevel(logging.DEBUG)
        for number in range(count):
            with ironspan.span("outside"):
                logging.getLogger("app").info("line %d", number)
                inside += 1
    elif where == "gc":

        class Finalised:
            def __del__(self) -> None:
                span_inside()

        gc.callbacks.append(lambda phase, info: span_inside() if phase == "start" else None)
        gc.set_threshold(50, 2, 2)
        while inside < count:
            knot: list[Any] = [Finalised()]
            knot.append(knot)
            outside()
        gc.callbacks.clear()
        gc.set_threshold(700, 10, 10)
    elif where == "signal":
        signal.signal(signal.SIGALRM, span_inside)
        # The shortest interval that leaves the program time to go on: handlers interrupt span calls at any bytecode.
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        while inside < count:
            outside()
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        busy = False

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal busy
            if not busy:
                busy = True
                span_inside()
                busy = False
            return trace

        sys.settrace(trace)
        while inside < count:
            outside()
        sys.settrace(None)
    stats = ironspan.stats()
    app.emit("over", inside=inside, created=stats["created"] - before, flushed=bool(ironspan.flush(30.0)))


@scenario("C12", "spans inside a log handler, the garbage collector, a signal handler, a trace function")
def no_deadlock(run: Run) -> None:
    count = run.pick(2_000, 10_000)
    for where in ("logging", "gc", "signal", "settrace"):
        receiver = run.receiver("ok", detail="count")
        result = run.app(reentry, endpoint=receiver.endpoint, count=count, where=where, timeout=100)
        if result.hung or result.code:
            continue
        found = result.one("over")
        run.check(where, f"{found['inside']} inside, {found['created']} made", "0 hangs", found["inside"] >= count)


def across_clock_steps(app: App, endpoint: str, step: int) -> None:
    ironspan = app.init(endpoint)
    shift = ctypes.CDLL(None).fault_clock_shift
    shift(0)
    before = time.time()
    shift(step)
    moved = time.time() - before
    for number in range(10):
        shift(0)
        span = ironspan.span("across")
        outer = time.perf_counter_ns()
        span.__enter__()
        inner = time.perf_counter_ns()
        span.set("number", number)
        time.sleep(0.02)
        shift(step)
        inner = time.perf_counter_ns() - inner
        span.__exit__(None, None, None)
        app.emit("span", id=span.span_id, inner=inner, outer=time.perf_counter_ns() - outer)
    app.emit("moved", by=moved)


@scenario("C14", "the wall clock jumps an hour ahead or back in the middle of a span")
def clock_steps(run: Run) -> None:
    shim = run.shim("clock")
    for step in (3600, -3600):
        receiver = run.receiver("ok", detail="spans")
        result = run.app(across_clock_steps, endpoint=receiver.endpoint, step=step, environment={"LD_PRELOAD": shim})
        moved = result.one("moved")["by"]
        truth = {event["id"]: event for event in result.all("span")}
        worst, negative = 0, 0
        for span in receiver.spans():
            duration, measured = span["end"] - span["start"], truth[span["span_id"]]
            worst = max(worst, measured["inner"] - duration, duration - measured["outer"])
            negative += duration < 0
        label = f"{step // 3600:+d} h"
        in_force = abs(moved - step) < 1 and len(receiver.spans()) == 10
        run.check(f"{label}: clock moved", f"{moved:.0f} s", "yes", in_force)
        run.check(f"{label}: duration off by", f"{worst / 1e6:.3f} ms", "at most 1 ms", worst <= 1_000_000)
        run.check(f"{label}: negative durations", negative, "0", negative == 0)


def gaps_while_sending(app: App, endpoint: str, spans: int, compression: str) -> None:
    watch = probe.Stopwatch()
    ironspan = app.init(endpoint, compression=compression)
    parts.make(ironspan, 10)
    ironspan.flush(5.0)
    text = parts.BIG * 100
    for number in range(3):
        idle = watch.longest_gap(1.5)
        for n in range(spans):
            with ironspan.span("large") as span:
                span.set("text", text)
                span.set("number", n)
        queued = ironspan.stats()["buffer_bytes"]
        began = time.monotonic()
        # No flush: its thread would want the interpreter lock now and then, and this is about threads that never do.
        busy = watch.longest_gap(20.0, until=lambda: not ironspan.stats()["pending"])
        done = not ironspan.stats()["pending"]
        seconds = time.monotonic() - began
        app.emit("gaps", idle=idle, busy=busy, queued=queued, done=done, number=number, seconds=seconds)


@scenario("C15", "64 MiB are encoded, compressed and sent while the app computes", lane="timed")
def no_stall(run: Run) -> None:
    for compression in ("gzip", "none"):
        receiver = run.receiver("ok", detail="count")
        result = run.app(
            gaps_while_sending, endpoint=receiver.endpoint, spans=640, compression=compression, timeout=150
        )
        found = result.all("gaps")
        idle, busy = (sorted(event[name] for event in found)[1] / 1e6 for name in ("idle", "busy"))
        sent = all(event["done"] for event in found)
        run.check(f"{compression}: sent", f"{receiver.report()['spans']} spans of 100 KB", "all", sent)
        queued, seconds = (sum(event[name] for event in found) / 3 for name in ("queued", "seconds"))
        shown = f"{busy:.1f} ms, idle {idle:.1f} ms, over {seconds:.1f} s for {queued / 1e6:.0f} MB queued"
        run.check(f"{compression}: longest gap", shown, "at most 5 ms over idle", busy <= idle + 5.0)


def import_alone(app: App) -> None:
    import atexit

    registered: list[str] = []
    register = atexit.register

    def watched(work: Any, *arguments: Any, **named: Any) -> Any:
        registered.append(f"{getattr(work, '__module__', '?')}.{getattr(work, '__qualname__', work)}")
        return register(work, *arguments, **named)

    atexit.register = watched  # type: ignore[assignment]
    threads, files = probe.threads(), probe.descriptors()
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    began, cpu = time.perf_counter(), time.process_time()
    import ironspan

    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    opened = [target for number, target in probe.descriptors().items() if number not in files]
    changed = [number for number in signal.valid_signals() if signal.getsignal(number) != handlers[number]]
    # What the standard library registers for its own modules when they are first imported is not ours.
    ours = [name for name in registered if not name.startswith(("logging", "concurrent", "threading", "weakref"))]
    app.emit("imported", threads=probe.threads() - threads, opened=opened, atexit=ours, changed=changed, ms=took * 1e3)
    app.emit("cpu", ms=cpu * 1e3, name=ironspan.__name__)


@scenario("C16", "import ironspan, and nothing else", lane="timed")
def inert_import(run: Run) -> None:
    taken = []
    for number in range(7):
        result = run.app(import_alone)
        found = result.one("imported")
        taken.append(found["ms"])
        if number == 0:
            run.check("threads started", found["threads"], "0", found["threads"] == 0)
            run.check("sockets and files opened", found["opened"], "0", not found["opened"])
            run.check("exit functions", found["atexit"], "0", not found["atexit"])
            run.check("signal handlers changed", found["changed"], "0", not found["changed"])
    middle = sorted(taken)[3]
    run.check("import", f"{middle:.0f} ms", "at most 50 ms", middle <= 50)


def endless_names(app: App, endpoint: str, count: int) -> None:
    ironspan = app.init(endpoint)

    def some(first: int, last: int) -> None:
        for number in range(first, last):
            with ironspan.span(f"name {number}") as span:
                span.set(f"key.{number}", number)
                span.tag(f"tag-{number}")
            if number % 10_000 == 9_999:
                ironspan.flush(10.0)

    some(0, 20_000)
    ironspan.flush(10.0)
    gc.collect()
    memory = probe.Memory()
    some(20_000, 20_000 + count)
    ironspan.flush(20.0)
    gc.collect()
    app.emit("over", growth=memory.growth())


@scenario("C18", "a million distinct span names, keys and tags")
def no_leak_by_names(run: Run) -> None:
    count = run.pick(150_000, 1_000_000)
    receiver = run.receiver("ok", detail="count")
    result = run.app(endless_names, endpoint=receiver.endpoint, count=count, timeout=300)
    growth = result.one("over")["growth"] / 1e6
    run.check(f"memory growth after {count:,}", f"{growth:.1f} MB", "at most 32 MB", growth <= 32)
    arrived = receiver.report()["spans"]
    run.check("arrived", arrived, f"{count + 20_000}", arrived == count + 20_000)
