"""X, second part: a frozen process, and a machine without threads, descriptors or memory to give."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.scenarios import parts

__all__: list[str] = []


def through_a_freeze(app: App, endpoint: str) -> None:
    """Spans at a steady pace; a jump of the clock between two of them is the freeze, and the next one is timed."""
    ironspan = app.init(endpoint)
    watch = probe.Stopwatch()
    last = time.monotonic()
    thawed = 0.0
    app.emit("running")
    while not thawed or last - thawed < 1.0:
        now = time.monotonic()
        took = watch.time(lambda: parts.make(ironspan, 1))
        if now - last > 2.0:
            thawed = now
            app.emit("thawed", first=took, away=now - last)
        last = now
        time.sleep(0.005)
    app.emit("flushed", all=bool(ironspan.flush(20.0)))


@scenario("X11", "SIGSTOP in the middle of an export, SIGCONT later", lane="quiet")
def frozen(run: Run) -> None:
    # The answer takes long enough that the freeze falls between request and answer.
    receiver = run.receiver("ok", delay=0.5)
    process = run.start(through_a_freeze, endpoint=receiver.endpoint)
    process.await_event("running", 20)
    receiver.wait("requests", 2, 20)
    process.signal(signal.SIGSTOP)
    time.sleep(run.pick(12, 60))
    process.signal(signal.SIGCONT)
    result = run.finish(process)
    thawed = result.one("thawed")
    report = receiver.report()
    batch = max(request["spans"] for request in receiver.requests())
    run.check("frozen for", f"{thawed['away']:.0f} s", "in the middle of an export", thawed["away"] > 2)
    arrived, made = report["unique"], result.stats["created"]
    run.check("arrived", f"{arrived} of {made}", "all", arrived == made)
    run.check("repeated", report["duplicates"], f"at most one batch ({batch})", report["duplicates"] <= batch)
    run.check("first span after it", f"{thawed['first'] / 1e6:.2f} ms", "under 10 ms", thawed["first"] < 10_000_000)


def without_threads(app: App, endpoint: str) -> None:
    shim = ctypes.CDLL(None)
    shim.fault_threads_refuse(1)
    ironspan = app.init(endpoint)
    parts.make(ironspan, 100, "without")
    early = bool(ironspan.flush(0.3))
    shim.fault_threads_refuse(0)
    refused = int(shim.fault_threads_refused())
    parts.make(ironspan, 100, "with")
    app.emit("over", early=early, refused=refused, late=bool(ironspan.flush(5.0)), stats=ironspan.stats())


def without_descriptors(app: App, endpoint: str) -> None:
    ironspan = app.init(endpoint)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(probe.descriptors()) + 1
    # Every number below the limit is in use, so that nothing more can be opened.
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, hard))
    parts.make(ironspan, 100, "without")
    early = bool(ironspan.flush(0.5))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in spare:
        os.close(number)
    parts.make(ironspan, 100, "with")
    app.emit("over", early=early, refused=1, late=bool(ironspan.flush(8.0)), stats=ironspan.stats())


def with_little_memory(app: App, endpoint: str, spare: int, spans: int) -> None:
    """The address space may grow by `spare` bytes more; the app itself keeps within that."""
    ironspan = app.init(endpoint)
    parts.make(ironspan, 10)
    text = parts.BIG * 10
    used = probe.Memory.now("VmSize:")
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, unlimited[1]))
    raised: list[str] = []
    for number in range(spans):
        try:
            with ironspan.span("tight") as span:
                span.set("number", number)
                span.set("text", text)
        except BaseException as error:
            raised.append(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
    app.emit("over", raised=raised[:5], count=len(raised), stats=ironspan.stats())
    parts.make(ironspan, 10, "after")


@scenario("X12", "no threads, no descriptors, little memory to be had")
def starved(run: Run) -> None:
    cases: list[tuple[str, Any, dict[str, str]]] = [
        ("no threads", without_threads, {"LD_PRELOAD": run.shim("threads")}),
        ("no descriptors", without_descriptors, {}),
    ]
    for name, work, environment in cases:
        receiver = run.receiver("ok")
        result = run.app(work, endpoint=receiver.endpoint, environment=environment, internal=None)
        if result.code:
            continue
        found = result.one("over")
        stats = found["stats"]
        lost = sum(stats["dropped"].values())
        run.account(stats)
        in_force = found["refused"] > 0 and not found["early"]
        run.check(f"{name}: was in force", f"flush then said {found['early']}", "yes", in_force)
        settled = stats["delivered"] + lost == stats["created"] == 200
        recovered = settled and receiver.report()["unique"] == stats["delivered"] >= 100
        shown = f"{stats['delivered']} delivered, {lost} dropped, {stats['internal_errors']} errors counted"
        run.check(f"{name}: afterwards", shown, "recovers or counts", recovered)
    receiver = run.receiver("refuse")
    for spare in (64 << 20, 16 << 20, 4 << 20, 1 << 20):
        endpoint = receiver.endpoint
        result = run.app(with_little_memory, endpoint=endpoint, spare=spare, spans=20_000, code=None, internal=None)
        shown = f"exit code {result.code} {result.stderr.strip().splitlines()[:1]}"
        if result.code == 0:
            found = result.one("over")
            run.account(found["stats"])
            shown = f"{found['count']} raised {found['raised']}, dropped {found['stats']['dropped']}"
        good = result.code == 0 and found["count"] == 0
        run.check(f"{spare >> 20} MiB of address space left", shown, "app lives, 0 exceptions", good)


def through_a_failpoint(app: App, endpoint: str) -> None:
    ironspan = app.init(endpoint)
    for _ in range(20):
        parts.make(ironspan, 50)
        ironspan.flush(0.3)
    app.emit("over", stats=ironspan.stats())


@scenario("E23", "a panic, a failure, a stall at each named point of the pipeline")
def failpoints(run: Run) -> None:
    tried = False
    for place in ("collector.resolve", "otlp.send"):
        for action in ("panic", "error", "delay"):
            receiver = run.receiver("ok")
            setting = {"IRONSPAN_FAILPOINT": f"{place}:{action}"}
            result = run.app(through_a_failpoint, endpoint=receiver.endpoint, environment=setting, internal=None)
            stats = result.one("over")["stats"]
            if action == "panic" and not stats["internal_errors"]:
                run.skip("this build has no failpoints: scripts/faults makes one that has")
            tried = True
            run.account(stats)
            arrived, final = receiver.report()["unique"], result.stats
            lost = sum(final["dropped"].values()) + final["rejected"]
            shown = f"{final['delivered']} delivered, {lost} lost, {final['pending']} left behind"
            shown += f", {final['internal_errors']} errors counted"
            # A thread that stalls past the exit leaves spans pending: they are told of as such.
            settled = final["delivered"] + lost + final["pending"]
            good = final["created"] == 1_000 == settled and final["delivered"] <= arrived
            run.check(f"{place}:{action}", shown, "app lives, all counted", good and result.exit_seconds <= 5.0)
    run.check("points", tried, "tried", tried)
