"""C, first part: the current span across tasks, threads and greenlets, odd ends of spans, headers from outside.

Every span carries the id of the parent it should have (`expect`), taken from the program's own call tree; the collector
compares that with the parent it was sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from tests.faults import headers, probe
from tests.faults.app import App
from tests.faults.harness import Run, ms, scenario
from tests.faults.receivers import Remote
from tests.faults.scenarios import parts

__all__: list[str] = []


def wrong_parents(receiver: Remote) -> tuple[int, int]:
    """How many spans arrived, and how many of them under another parent than they expect."""
    spans = receiver.spans()
    return len(spans), sum(span["parent_id"] != span["attributes"]["expect"] for span in spans)


async def node(ironspan: Any, source: random.Random, expect: str, depth: int) -> None:
    """A span and, below it, children started in every way asyncio has, some of them cancelled on their way."""
    with ironspan.span("node") as span:
        span.set("expect", expect)
        mine = span.span_id
        if depth == 0:
            await asyncio.sleep(source.random() * 0.002)
            return
        await asyncio.sleep(0)

        def below() -> Any:
            return node(ironspan, source, mine, depth - 1)

        way = source.randrange(5)
        if way == 0:
            await asyncio.gather(below(), below(), below(), return_exceptions=True)
        elif way == 1 and sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(below()) for _ in range(3)]
                await asyncio.sleep(0)
                source.choice(tasks).cancel()
        elif way == 2:
            shielded = asyncio.ensure_future(below())
            try:
                await asyncio.wait_for(asyncio.shield(shielded), source.random() * 0.002)
            except asyncio.TimeoutError:
                await shielded
        elif way == 3:
            try:
                await asyncio.wait_for(below(), source.random() * 0.003)
            except asyncio.TimeoutError:
                with ironspan.span("after a timeout") as after:
                    after.set("expect", mine)
        else:
            task = asyncio.ensure_future(below())
            await asyncio.sleep(source.random() * 0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with ironspan.span("after a cancellation") as after:
                after.set("expect", mine)


def task_trees(app: App, endpoint: str, spans: int, loop: str) -> None:
    ironspan = app.init(endpoint)
    source = random.Random(2)

    async def everything() -> None:
        while ironspan.stats()["created"] < spans:
            await asyncio.gather(*(node(ironspan, source, "", 3) for _ in range(200)), return_exceptions=True)
            await asyncio.sleep(0.01)
            ironspan.flush(10.0)

    if loop == "uvloop":
        import importlib

        importlib.import_module("uvloop").run(everything())
    else:
        asyncio.run(everything())


@scenario("C03", "TaskGroup, shield, timeout, gather, random cancellations: the tree is the call tree")
def asyncio_tree(run: Run) -> None:
    spans = run.pick(10_000, 100_000)
    receiver = run.receiver("ok", detail="spans")
    stats = run.app(task_trees, endpoint=receiver.endpoint, spans=spans, loop="asyncio", timeout=600).stats
    arrived, wrong = wrong_parents(receiver)
    run.check("wrong parents", f"{wrong} of {arrived}", "0", wrong == 0 and arrived >= spans)
    run.check("delivered", f"{stats['delivered']} of {stats['created']}", "all", stats["delivered"] == stats["created"])


def thread_trees(app: App, endpoint: str, rounds: int, inherit: bool) -> None:
    import ironspan

    exporters = [ironspan.exporters.Otlp(endpoint=endpoint)]
    ironspan.init(service="faults", exporters=exporters, threads=inherit)

    def leaf(expect: str) -> None:
        with ironspan.span("leaf") as span:
            span.set("expect", expect)
            with ironspan.span("below") as below:
                below.set("expect", span.span_id)

    def left_open(expect: str) -> None:
        # Entered and left by somebody else: the thread that is used next must not find it current.
        span = ironspan.span("left open")
        span.__enter__()
        span.set("expect", expect)
        opened.append(span)

    async def on_threads() -> None:
        with ironspan.span("async") as span:
            span.set("expect", "")
            await asyncio.gather(*(asyncio.to_thread(leaf, span.span_id) for _ in range(8)))

    opened: list[Any] = []
    with ThreadPoolExecutor(8) as pool:
        for number in range(rounds):
            with ironspan.span("root") as root:
                root.set("expect", "")
                # Without a copy it depends on `threads`: a root, or a child of this one, never of another.
                jobs = [pool.submit(leaf, root.span_id if inherit else "") for _ in range(8)]
                jobs += [pool.submit(contextvars.copy_context().run, leaf, root.span_id) for _ in range(8)]
                jobs.append(pool.submit(contextvars.copy_context().run, left_open, root.span_id))
                for job in jobs:
                    job.result()
            while opened:
                opened.pop().end()
            if number % 100 == 99:
                asyncio.run(on_threads())
                ironspan.flush(10.0)


@scenario("C04", "thread pools with and without a copied context, to_thread")
def threads_tree(run: Run) -> None:
    rounds = run.pick(300, 3_000)
    for inherit in (True, False):
        receiver = run.receiver("ok", detail="spans")
        result = run.app(thread_trees, endpoint=receiver.endpoint, rounds=rounds, inherit=inherit, timeout=300)
        arrived, wrong = wrong_parents(receiver)
        label, made = f"threads={inherit}", result.stats["created"]
        run.check(f"{label}: wrong parents", f"{wrong} of {arrived}", "0", wrong == 0)
        run.check(f"{label}: arrived", f"{arrived} of {made}", "all", arrived == made >= 34 * rounds)


def odd_ends(app: App, endpoint: str, count: int) -> None:
    ironspan = app.init(endpoint)
    raised: list[str] = []

    def attempt(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(f"{work.__name__}: {error!r}")

    def twice() -> None:
        span = ironspan.span("twice").start()
        span.end()
        span.end()
        span.set("late", 1)
        span.event("late")
        span.output("late")

    def elsewhere() -> None:
        span = ironspan.span("elsewhere")
        span.__enter__()
        thread = threading.Thread(target=lambda: span.__exit__(None, None, None))
        thread.start()
        thread.join()

    def after_parent() -> None:
        parent = ironspan.span("parent").start()
        parent.end()
        with ironspan.span("child of an ended one", parent=parent):
            pass

    def out_of_order() -> None:
        first, second = ironspan.span("first"), ironspan.span("second")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)

    def never_started() -> None:
        ironspan.span("never started")
        ironspan.span("ended unstarted").end()

    def in_a_cycle() -> None:
        holder: list[Any] = [ironspan.span("in a cycle").start()]
        holder.append(holder)

    for work in (twice, elsewhere, after_parent, out_of_order, never_started, in_a_cycle):
        for _ in range(50):
            attempt(work)
    gc.collect()
    ironspan.flush(10.0)
    before = ironspan.stats()
    memory = probe.Memory()
    for number in range(count):
        ironspan.span("dropped").start()
        if number % 10_000 == 9_999:
            ironspan.flush(10.0)
    gc.collect()
    ironspan.flush(10.0)
    app.emit(
        "over", raised=raised[:3], count=len(raised), growth=memory.peak_growth(), before=before, after=ironspan.stats()
    )


@scenario("C05", "ended twice, elsewhere, never; children of ended spans; a million dropped handles")
def odd_ends_of_spans(run: Run) -> None:
    count = run.pick(100_000, 1_000_000)
    receiver = run.receiver("ok", detail="count")
    found = run.app(odd_ends, endpoint=receiver.endpoint, count=count, timeout=300).one("over")
    run.check("raised", f"{found['count']} {found['raised']}", "0", found["count"] == 0)
    run.check("memory growth", f"{found['growth'] / 1e6:.1f} MB", "at most 20 MB", found["growth"] <= 20e6)
    counted = found["after"]["created"] - found["before"]["created"]
    run.check("dropped handles counted", counted, f"{count}", counted == count)
    run.account(found["after"])
    run.check("still open", found["after"]["open_spans"], "0", found["after"]["open_spans"] == 0)


def extract_all(app: App, endpoint: str, count: int, seed: int) -> None:
    """Every header pair goes through `extract`; the reference reader of `headers.py` says what has to come out."""
    ironspan = app.init(endpoint)
    wrong: list[str] = []
    raised: list[str] = []
    valid = 0

    def check(carrier: Any, label: str) -> None:
        nonlocal valid
        expected = headers.read_traceparent(carrier)
        try:
            context = ironspan.extract(carrier)
            got = None
            if context is not None and int(context.trace_id, 16):
                got = (context.trace_id, context.span_id, bool(context.sampled))
        except BaseException as error:
            if len(raised) < 5:
                raised.append(f"{label} {carrier!r:.200}: {error!r}")
            return
        valid += expected is not None
        if got != expected and len(wrong) < 5:
            wrong.append(f"{label} {carrier!r:.200}: got {got}, expected {expected}")

    for number, value in enumerate(headers.HAND_WRITTEN):
        check({"traceparent": value}, f"case {number}")
    for name, carrier in headers.TRACESTATES.items():
        check(carrier, name)
    source = random.Random(seed)
    for _ in range(count):
        check(headers.fuzzed(source), "fuzzed")
    # A header that is refused starts a new trace; one that is accepted is continued.
    fresh, continued = [], []
    for _ in range(1000):
        carrier = headers.fuzzed(source)
        expected = headers.read_traceparent(carrier)
        with ironspan.attach(ironspan.extract(carrier)), ironspan.span("server") as span:
            if expected is None:
                fresh.append(all(span.trace_id not in text.lower() for text in carrier.values()))
            else:
                continued.append(expected[0] == span.trace_id)
    app.emit("over", wrong=wrong, raised=raised, valid=valid, fresh=fresh, continued=continued)


@scenario("C06", "hand-written and fuzzed traceparent and tracestate headers")
def inbound_headers(run: Run) -> None:
    count = run.pick(50_000, 1_000_000)
    endpoint = run.receiver("ok", detail="count").endpoint
    over = run.app(extract_all, endpoint=endpoint, count=count, seed=6, timeout=900).one("over")
    cases = len(headers.HAND_WRITTEN) + len(headers.TRACESTATES)
    run.check("raised", over["raised"], "nothing", not over["raised"])
    shown = f"{over['wrong'] or 0} of {cases} + {count:,}, {over['valid']} of them valid"
    run.check("read otherwise than W3C says", shown, "0", not over["wrong"] and over["valid"] > count // 100)
    for what, found in (("bad header starts a new trace", over["fresh"]), ("good one is continued", over["continued"])):
        run.check(what, f"{sum(found)}/{len(found)}", "always", all(found) and len(found) > 100)


def greenlets(app: App, endpoint: str, count: int, spans: int) -> None:
    import importlib

    importlib.import_module("gevent.monkey").patch_all()
    gevent = importlib.import_module("gevent")
    ironspan = app.init(endpoint)
    watch = probe.Stopwatch()
    taken: list[int] = []
    finished = 0

    def work() -> None:
        nonlocal finished
        with ironspan.span("greenlet") as outer:
            outer.set("expect", "")
            for _ in range(spans):
                opened: list[Any] = []

                def enter(opened: list[Any] = opened) -> None:
                    span = ironspan.span("step")
                    span.__enter__()
                    span.set("expect", outer.span_id)
                    opened.append(span)

                taken.append(watch.time(enter))
                gevent.sleep(0.001)
                taken.append(watch.time(partial(opened[0].__exit__, None, None, None)))
        finished += 1

    gevent.joinall([gevent.spawn(work) for _ in range(count)], timeout=60)
    app.emit("over", finished=finished, longest=max(taken), p99=probe.percentile(taken, 0.99))


@scenario("C17", "gevent and uvloop, silent collector: the hub is not blocked", lane="timed")
def other_loops(run: Run) -> None:
    count = 1_000
    for mode in ("blackhole", "ok"):
        receiver = run.receiver(mode, detail="spans" if mode == "ok" else "ids")
        result = run.app(greenlets, endpoint=receiver.endpoint, count=count, spans=10, timeout=100)
        found = result.one("over")
        run.check(f"greenlets, {mode}", f"{found['finished']} finish", f"{count}", found["finished"] == count)
        longest = found["longest"]
        run.check(f"longest block, {mode}", f"{longest / 1e6:.2f} ms", "at most 10 ms", longest <= 10_000_000)
        if mode == "ok":
            arrived, wrong = wrong_parents(receiver)
            run.check("gevent: wrong parents", f"{wrong} of {arrived}", "0", wrong == 0 and arrived == 11 * count)
    for mode in ("ok", "blackhole"):
        receiver = run.receiver(mode, detail="spans" if mode == "ok" else "ids")
        began = time.monotonic()
        spans = 3_000
        if mode == "ok":
            run.app(task_trees, endpoint=receiver.endpoint, spans=spans, loop="uvloop", timeout=100)
            arrived, wrong = wrong_parents(receiver)
            run.check("uvloop: wrong parents", f"{wrong} of {arrived}", "0", wrong == 0 and arrived >= spans)
        else:
            found = run.app(loop_blocks, endpoint=receiver.endpoint, seconds=run.pick(2, 20)).one("over")
            shown = f"{found['longest'] / 1e6:.2f} ms"
            run.check("uvloop: longest block", shown, "at most 10 ms", found["longest"] <= 10_000_000)
        if time.monotonic() - began > 100:
            run.check("uvloop ends", ms(time.monotonic() - began), "in time", False)


def loop_blocks(app: App, endpoint: str, seconds: float) -> None:
    import importlib

    ironspan = app.init(endpoint)
    watch = probe.Stopwatch()
    longest = 0

    async def work() -> None:
        nonlocal longest
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            longest = max(longest, watch.time(lambda: parts.make(ironspan, 1)))
            await asyncio.sleep(0.001)

    importlib.import_module("uvloop").run(work())
    app.emit("over", longest=longest)
