"""F: fork in every place where it hurts, exec, spawn and subinterpreters."""

from __future__ import annotations

import os
import pickle
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import ROOT, Run, ms, scenario
from tests.faults.scenarios import parts

__all__: list[str] = []


def reap(child: int, seconds: float) -> int | None:
    """Wait status of a child; None, and the child killed, when it does not end in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def fork(work: Callable[[], None]) -> int:
    """Fork; the child runs `work` and leaves without any exit function."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def queued_then_forked(app: App, endpoint: str, spans: int, children: int) -> None:
    ironspan = app.init(endpoint)
    parts.make(ironspan, spans)
    forked = []
    for _ in range(children):
        child = os.fork()
        if child == 0:
            # Through the whole normal exit: it is there that a child could send what its parent has queued.
            sys.exit(0)
        forked.append(child)
    app.emit("children", statuses=[reap(child, 20) for child in forked])


@scenario("F03", "the parent queues 500 spans, forks 8 children, all exit")
def no_repeats(run: Run) -> None:
    for _ in range(run.pick(3, 30)):
        receiver = run.receiver("ok")
        result = run.app(queued_then_forked, endpoint=receiver.endpoint, spans=500, children=8)
        report = receiver.report()
        good = report["unique"] == report["spans"] == 500 and result.one("children")["statuses"] == [0] * 8
        if not good or len(run.checks) == 0:
            shown = (
                f"{report['unique']} unique, {report['duplicates']} duplicates, {result.one('children')['statuses']}"
            )
            run.check("arrived", shown, "500 unique, 0 duplicates, 8 children end", good)


def forks_among_threads(app: App, endpoint: str, forks: int, deliver_every: int) -> None:
    """Fork while four threads make spans and a fifth flushes: any lock of ours may be held at that moment."""
    ironspan = app.init(endpoint)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            parts.make(ironspan, 20)
            time.sleep(0.0005)

    def flushing() -> None:
        while not stop.is_set():
            ironspan.flush(0.2)

    workers = [threading.Thread(target=busy) for _ in range(4)] + [threading.Thread(target=flushing)]
    for worker in workers:
        worker.start()
    hung = bad = delivering = 0
    for number in range(forks):
        deliver = number % deliver_every == 0

        def child(deliver: bool = deliver) -> None:
            watch = probe.Stopwatch()
            took = watch.time(lambda: parts.make(ironspan, 1, "child"))
            app.emit("first", took=took)
            if deliver:
                parts.make(ironspan, 4, "child")
                app.emit("child", flushed=bool(ironspan.flush(10.0)), stats=ironspan.stats())

        delivering += deliver
        status = reap(fork(child), 20)
        hung += status is None
        bad += status not in (None, 0)
    stop.set()
    for worker in workers:
        worker.join()
    app.emit("forked", hung=hung, bad=bad, delivering=delivering, flushed=bool(ironspan.flush(20.0)))


def judge_forks(run: Run, forks: int, deliver_every: int) -> None:
    receiver = run.receiver("ok")
    result = run.app(
        forks_among_threads, endpoint=receiver.endpoint, forks=forks, deliver_every=deliver_every, timeout=900
    )
    if result.hung:
        return
    found, first = result.one("forked"), [event["took"] for event in result.all("first")]
    children = result.all("child")
    for child in children:
        run.account(child["stats"])
    failed = found["hung"] + found["bad"]
    run.check("children", f"{found['hung']} hung, {found['bad']} died, of {forks}", "0", failed == 0)
    slow = sum(took > 10_000_000 for took in first)
    shown = f"slowest {max(first) / 1e6:.2f} ms, median {statistics.median(first) / 1e6:.3f} ms, {slow} slow"
    run.check("first span of a child", shown, "at most 10 ms", slow == 0 and len(first) == forks)
    delivered = sum(child["flushed"] and child["stats"]["delivered"] == 5 for child in children)
    wanted = found["delivering"]
    run.check("children that delivered", f"{delivered} of {wanted}", "all", delivered == wanted)
    stats, report = result.stats, receiver.report()
    expected = stats["delivered"] + 5 * delivered
    lost = sum(stats["dropped"].values())
    run.check("duplicates", report["duplicates"], "0", report["duplicates"] == 0)
    shown = f"{report['unique']} of {expected}, parent dropped {lost}"
    run.check("arrived", shown, "all delivered", report["unique"] == expected)


@scenario("F06", "fork while 4 threads make spans and a flush runs", lane="timed")
def fork_anywhere(run: Run) -> None:
    judge_forks(run, run.pick(60, 600), deliver_every=1)


@scenario("F14", "1,000 forks with 4 busy threads")
def many_forks(run: Run) -> None:
    judge_forks(run, run.pick(100, 1_000), deliver_every=20)


def generations(app: App, endpoint: str, depth: int) -> None:
    """From a thread that is not the main one: child, grandchild, and so on; each delivers, then waits for the next."""
    ironspan = app.init(endpoint)

    def generation(left: int) -> None:
        parts.make(ironspan, 10, f"generation {left}")
        if left:
            status = reap(fork(lambda: generation(left - 1)), 30)
            app.emit("generation", left=left, status=status)
        if left < depth:
            app.emit("delivered", left=left, flushed=bool(ironspan.flush(10.0)), stats=ironspan.stats())

    thread = threading.Thread(target=lambda: generation(depth))
    thread.start()
    thread.join()
    ironspan.flush(10.0)
    # close_fds off: whatever is not close-on-exec is inherited, and listed by the program that runs then.
    listing = [sys.executable, "-c", _LIST_DESCRIPTORS]
    seen = subprocess.run(listing, close_fds=False, capture_output=True, text=True, check=True).stdout.split("\n")
    child = os.fork()
    if child == 0:
        path = Path(os.environ["FAULTS_REPORT"]).with_name("listing")
        wanted = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.dup2(wanted, 1)
        os.execv(sys.executable, listing)
    reap(child, 20)
    seen += Path(os.environ["FAULTS_REPORT"]).with_name("listing").read_text().split("\n")
    app.emit("inherited", seen=[line for line in seen if line.startswith(("socket:", "anon_inode:"))])


_LIST_DESCRIPTORS = """
import os
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
"""


@scenario("F07", "fork from a thread, five generations deep, then exec")
def generations_and_exec(run: Run) -> None:
    receiver = run.receiver("ok")
    result = run.app(generations, endpoint=receiver.endpoint, depth=5)
    for event in result.all("delivered"):
        run.account(event["stats"])
    statuses = [event["status"] for event in result.all("generation")]
    run.check("generations", statuses, "5 end by themselves", statuses == [0] * 5)
    flushed = [event["flushed"] for event in result.all("delivered")]
    report = receiver.report()
    good = flushed == [True] * 5 and report["unique"] == report["spans"] == 60
    run.check(
        "arrived", f"{report['unique']} of 60, {report['duplicates']} duplicates", "all generations deliver", good
    )
    inherited = result.one("inherited")["seen"]
    run.check("inherited after exec", inherited, "nothing", not inherited)


def fork_once(app: App, endpoint: str) -> None:
    ironspan = app.init(endpoint)
    parts.make(ironspan, 10)
    ironspan.flush(5.0)
    parts.make(ironspan, 10)

    def child() -> None:
        parts.make(ironspan, 5)
        ironspan.flush(5.0)

    status = reap(fork(child), 20)
    parts.make(ironspan, 10)
    app.emit("forked", status=status)


@scenario("F08", "fork under -W error on Python 3.12 and newer")
def no_warning(run: Run) -> None:
    found = [sys.executable] if sys.version_info >= (3, 12) else []
    found += [name for name in os.environ.get("FAULTS_PYTHONS", "").split(":") if name]
    found += [str(path) for path in sorted(ROOT.glob(".venv-3.1[2-9]*/bin/python"))]
    probe_line = "import sys, ironspan; assert sys.version_info >= (3, 12)"
    usable = [
        python for python in found if subprocess.run([python, "-c", probe_line], capture_output=True).returncode == 0
    ]
    if not usable:
        run.skip("no Python 3.12 or newer with ironspan: name one in FAULTS_PYTHONS")
    for python in usable:
        for _ in range(run.pick(5, 50)):
            receiver = run.receiver("ok")
            result = run.app(fork_once, endpoint=receiver.endpoint, python=python, flags=("-W", "error"), quiet=False)
            warned = "Warning" in result.stderr
            arrived = receiver.report()["unique"]
            good = not warned and result.code == 0 and arrived == 35 and result.one("forked")["status"] == 0
            if not good or not any(check.what == python for check in run.checks):
                shown = f"{result.stderr.strip()[-300:] or 'none'}, {arrived} of 35 arrived"
                run.check(python, shown, "0 warnings", good)


def decorated(number: int) -> int:
    """Replaced by its decorated self in `pickles`, under the same name, as a decorator would have done."""
    return number + 1


def in_a_spawned_child(span: Any, context: Any, number: int) -> int:
    import ironspan

    with ironspan.attach(context), ironspan.span("spawned") as inner:
        inner.link(span)
        span.set("after", 1)
        return number * 2


def pickles(app: App, endpoint: str) -> None:
    import importlib
    import multiprocessing

    cloudpickle = importlib.import_module("cloudpickle")
    ironspan = app.init(endpoint)
    module = sys.modules[__name__]
    module.decorated = ironspan.span("decorated")(decorated)  # type: ignore[attr-defined]
    raised: list[str] = []
    noted: list[str] = []
    with ironspan.span("parent") as span:
        things: dict[str, Any] = {
            "ironspan.span": ironspan.span,
            "Span": span,
            "SpanContext": span.context,
            "current()": ironspan.current(),
            "decorated function": module.decorated,
            "unstarted span": ironspan.span("x"),
        }
        beside = {"scope": ironspan.scope(session="s", user="u"), "Report": ironspan.flush(0.1)}
        if _importable("langchain_core"):
            things["CallbackHandler"] = ironspan.langchain.CallbackHandler()
        for name, thing in (things | beside).items():
            for pickler in (pickle, cloudpickle):
                try:
                    copy = pickle.loads(pickler.dumps(thing))
                    if name == "decorated function" and copy(1) != 2:
                        raised.append(f"{name}: wrong result")
                except Exception as error:
                    where = noted if name in beside else raised
                    where.append(f"{pickler.__name__} {name}: {type(error).__name__}: {error}")
        try:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                answer = pool.apply_async(in_a_spawned_child, (span, span.context, 21)).get(30)
                if answer != 42:
                    raised.append(f"spawned child answered {answer}")
        except Exception as error:
            raised.append(f"spawn: {type(error).__name__}: {error}")
    app.emit("pickled", raised=raised, noted=noted, things=len(things))


@scenario("F11", "pickle and cloudpickle of handler, tracer, spans; spawned children")
def pickling(run: Run) -> None:
    if not _importable("cloudpickle"):
        run.skip("cloudpickle is not installed: requirements/faults.txt")
    result = run.app(pickles, endpoint=run.receiver("ok").endpoint)
    found = result.one("pickled")
    run.check(f"raised for {found['things']} things", found["raised"], "nothing", not found["raised"])
    run.check("beside the criterion", found["noted"], "shown only", True)


def exits_of_children(app: App, endpoint: str, queued: int) -> None:
    """Without an endpoint: the same forks without ironspan, which is what an exit costs anyway."""
    ironspan = app.init(endpoint) if endpoint else None
    if ironspan is not None:
        parts.make(ironspan, queued, text=parts.BIG)
    for spans in (0, 0, 0, 0, 0, 1, 1, 1):
        child = os.fork()
        if child == 0:
            if spans and ironspan is not None:
                parts.make(ironspan, spans, "child")
            app.emit("leaving", spans=spans)
            sys.exit(0)
        status = reap(child, 30)
        app.emit("left", spans=spans, status=status, child=child)


@scenario("F12", "a child leaves by sys.exit; silent collector, the parent's queue full", lane="timed")
def children_leave(run: Run) -> None:
    def exits(endpoint: str) -> dict[int, list[float]]:
        result = run.app(exits_of_children, endpoint=endpoint, queued=40_000)
        leaving = {event["pid"]: event["at"] for event in result.all("leaving")}
        taken: dict[int, list[float]] = {0: [], 1: []}
        for event in result.all("left"):
            if event["status"] != 0:
                run.check("child", event["status"], "ends with 0", False)
            taken[event["spans"]].append(event["at"] - leaving[event["child"]])
        return taken

    plain = exits("")
    traced = exits(run.receiver("blackhole").endpoint)
    without, one = statistics.median(traced[0]), max(traced[1])
    usual = statistics.median(plain[0])
    run.check("exit, no span made", f"{ms(without)}, without ironspan {ms(usual)}", "at most 100 ms", without <= 0.1)
    run.check("exit, one span made", f"{one:.2f} s", "at most 5 s", one <= 5.0)


_IN_SUBINTERPRETER = """
import os
try:
    import ironspan
    ironspan.init(service="sub", exporters=[])
    with ironspan.span("in a subinterpreter") as span:
        span.set("k", 1)
    said = "works"
except ImportError as error:
    said = "ImportError: " + str(error)
except Exception as error:
    said = "RAISED " + type(error).__name__ + ": " + str(error)
os.write(OUT, said.encode() + b"\\n")
"""


def subinterpreters(app: App, endpoint: str, first: bool, rounds: int) -> None:
    """Import in subinterpreters, before or after the main interpreter has done it, while the latter makes spans."""
    import importlib

    names = ("_interpreters", "_xxsubinterpreters")
    module: Any = next((importlib.import_module(name) for name in names if _importable(name)), None)
    ironspan = app.init(endpoint) if not first else None
    said = []
    for _ in range(rounds):
        read, write = os.pipe()
        interpreter = module.create()
        module.run_string(interpreter, _IN_SUBINTERPRETER.replace("OUT", str(write)))
        if ironspan is not None:
            parts.make(ironspan, 5)
        module.destroy(interpreter)
        os.close(write)
        with os.fdopen(read) as answer:
            said.append(answer.read().strip())
    ironspan = ironspan or app.init(endpoint)
    parts.make(ironspan, 100)
    app.emit("said", said=sorted(set(said)), delivered=bool(ironspan.flush(5.0)))


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


@scenario("F13", "import in a subinterpreter")
def in_subinterpreters(run: Run) -> None:
    if not (_importable("_interpreters") or _importable("_xxsubinterpreters")):
        run.skip("this Python has no subinterpreter module")
    for first in (False, True):
        endpoint = run.receiver("ok").endpoint
        found = run.app(subinterpreters, endpoint=endpoint, first=first, rounds=run.pick(5, 50)).one("said")
        clean = all(said == "works" or said.startswith("ImportError: ") for said in found["said"])
        order = "before the main one" if first else "after the main one"
        run.check(order, found["said"], "works, or a clean ImportError", clean)
        run.check(f"{order}: main interpreter delivers", found["delivered"], "yes", found["delivered"])
