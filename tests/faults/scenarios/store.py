"""D, and of the other letters what concerns the local store: killed writers, full disks, files that are taken away.

D20 and later stand in no table. What counts as kept is what `flush()` said of it: an app reports that number in a file
of its own before it goes on, so whatever happens to it afterwards, those spans have to be in the store.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

from tests.faults import stores
from tests.faults.app import App
from tests.faults.harness import Process, Run, scenario

__all__: list[str] = []

#: Spans of one trace that `one` makes.
EACH = 4


def one(ironspan: Any, name: str, text: str = "") -> None:
    """A trace of four spans, some of which fail."""
    with ironspan.workflow(name, input=text or "the question") as root, ironspan.agent("worker"):
        with ironspan.generation("gpt-4o", messages="What?") as call:
            call.usage(input=10, output=3).cost(total=0.25).output("That.")
        with ironspan.tool("dig", arguments={"depth": 3}) as tool:
            if name.endswith("7"):
                tool.error("too deep")
        root.output("done")


def writing(app: App, store: str, key: str, every: int = 5, count: int = 0, **options: Any) -> None:
    """Makes traces until it is told to stop by SIGTERM, or `count` of them; flushes and reports after `every`.

    All the while a tool is open, in a trace that never ends.
    """
    import ironspan

    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    ironspan.init("faults", store=store, exporters=[], **options)
    began = time.monotonic()
    life = ironspan.workflow(f"life of {key}", input=f"live, {key}").start()
    waits = ironspan.tool("waits", parent=life, arguments=f"wait, {key}").start()
    app.emit("begun")
    number = 0
    while not stop and (number < count or not count):
        one(ironspan, f"{key}-{number}")
        number += 1
        app.emit("made", number=number)
        if number % every == 0 and ironspan.flush(30.0):
            app.emit("kept", number=number, after=time.monotonic() - began)
    app.emit("counts", flushed=bool(ironspan.flush(30.0)), stats=ironspan.stats())
    # At an ordinary end the open ones would be abandoned.
    while waits.recording:
        signal.pause()


def last(process: Process, event: str, until: float = float("inf")) -> int:
    """The number of the last event of that name before a time; 0 for none."""
    found = [seen["number"] for seen in process.events() if seen["event"] == event and seen["at"] <= until]
    return max(found, default=0)


def missing(path: Path, wanted: dict[str, int]) -> list[str]:
    """Traces that are not whole in the store, of those that each key has so many of."""
    whole = {name for name, spans in stores.rows(path, "SELECT name, spans FROM trace") if spans == EACH}
    return [name for key, count in wanted.items() for name in (f"{key}-{n}" for n in range(count)) if name not in whole]


def lives(run: Run, path: Path, keys: set[str]) -> None:
    """The writers of these keys are dead: what they had open is lost, with its inputs."""
    found = stores.statuses(path)
    wanted = {f"{does}, {key}" for key in keys for does in ("live", "wait")}
    lost = {span["input"] for span in found["lost"]}
    shown = f"{len(lost)} lost, {len(wanted - lost)} of dead writers are not {sorted(wanted - lost)[:2] or ''}"
    run.check("open spans of dead writers", shown, "all lost, with their inputs", bool(keys) and wanted <= lost)
    run.check("still said to run", len(found["running"]), "0", not found["running"])


def announced(path: Path) -> set[str]:
    """The keys of the writers whose tool is known to be open."""
    found = stores.rows(path, "SELECT input FROM open_span WHERE name = 'waits'")
    return {text.removeprefix("wait, ") for (text,) in found}


@scenario("X04", "SIGKILL at random moments, again and again, one store", lane="timed")
def killed_again_and_again(run: Run) -> None:
    path = run.folder() / "traces.db"
    rng = random.Random(4)
    wanted: dict[str, int] = {}
    settled: dict[str, int] = {}
    slowest = 0.0
    for cycle in range(run.pick(6, 1_000)):
        key = f"c{cycle}"
        process = run.start(writing, store=str(path), key=key)
        process.await_event("kept", 20)
        # The moment is the point: anything may be going on in it.
        time.sleep(rng.uniform(0.2, 0.7))
        killed = process.signal(signal.SIGKILL)
        process.ended(10)
        wanted[key] = last(process, "kept")
        deadline = killed - 0.25 - run.machine.stalled(killed - 0.5, killed)
        settled[key] = last(process, "made", deadline)
        slowest = max(slowest, process.await_event("kept", 1)["after"])
    process = run.start(writing, store=str(path), key="last", count=20)
    process.await_event("counts", 30)
    process.kill()
    run.check("a start to its first commit", f"{slowest:.2f} s", "at most 2 s", slowest <= 2.0)
    lost = missing(path, wanted | {"last": 20})
    run.check("kept and lost", f"{len(lost)} of {sum(wanted.values())}", "0", not lost)
    lost = missing(path, settled)
    shown = f"{len(lost)} of {sum(settled.values())} {lost[:3] or ''}"
    run.check("ended 250 ms before and lost", shown, "0", not lost)
    lives(run, path, set(wanted))
    stores.sound(run, path)
    status, said = stores.command(path, "doctor")
    run.check("doctor", f"{status} {said if status else ''}", "0", status == 0)


def reading(app: App, store: str) -> None:
    """Reads as the page does, until SIGTERM; counts what goes wrong."""
    import ironspan

    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    while not stop and not Path(store).exists():
        time.sleep(0.01)
    errors: list[str] = []
    asked = 0
    while not stop:
        try:
            with ironspan.open_store(store) as opened:
                while not stop and asked % 50 != 49:
                    asked += 1
                    rows = opened.traces(limit=20)
                    opened.stats("agent")
                    for row in rows[:2]:
                        opened.trace(row["id"])
            asked += 1
        except ironspan.StoreError as error:
            # The file is there before it is a store.
            if asked:
                errors.append(str(error))
    app.emit("read", asked=asked, errors=errors)


@scenario("F09", "8 processes write one store while it is read")
def many_writers(run: Run) -> None:
    path = run.folder() / "traces.db"
    count = run.pick(250, 2_500)
    reader = run.start(reading, store=str(path))
    writers = {f"w{n}": run.start(writing, store=str(path), key=f"w{n}", every=100, count=count) for n in range(8)}
    dropped, delivered = 0, 0
    for writer in writers.values():
        counts = writer.await_event("counts", 300)
        run.account(counts["stats"])
        dropped += sum(counts["stats"]["dropped"].values()) + counts["stats"]["pending"]
        delivered += counts["stats"]["delivered"]
    stores.eventually(lambda: len(announced(path)) == 8, 20)
    for writer in writers.values():
        writer.kill()
    reader.signal(signal.SIGTERM)
    found = run.finish(reader).one("read")
    spans = stores.rows(path, "SELECT count(*), count(DISTINCT span_id) FROM span")
    run.check("rows", spans, f"{8 * count * EACH} once", spans == [(8 * count * EACH, 8 * count * EACH)])
    run.check("by count", f"{delivered} delivered, {dropped} not", "all", (delivered, dropped) == (spans[0][0], 0))
    errors = found["errors"]
    run.check("reads that failed", f"{len(errors)} of {found['asked']} {errors[:1] or ''}", "0", not errors)
    lives(run, path, set(writers))
    stores.sound(run, path)


@scenario("D20", "6 processes on one store, one after the other is killed and started again")
def writers_killed(run: Run) -> None:
    path = run.folder() / "traces.db"
    rng = random.Random(20)
    wanted: dict[str, int] = {}
    running: dict[str, Process] = {}
    for number in range(6):
        running[f"k{number}"] = run.start(writing, store=str(path), key=f"k{number}")
    seen: set[str] = set()
    for process in running.values():
        process.await_event("kept", 60)
    for number in range(6, run.pick(14, 500)):
        time.sleep(rng.uniform(0.05, 0.4))
        key = rng.choice([key for key in running if last(running[key], "kept")])
        seen |= announced(path)
        victim = running.pop(key)
        victim.signal(signal.SIGKILL)
        victim.ended(10)
        wanted[key] = last(victim, "kept")
        running[f"k{number}"] = run.start(writing, store=str(path), key=f"k{number}")
    delivered = 0
    for key, process in running.items():
        process.await_event("kept", 60)
        process.signal(signal.SIGTERM)
        counts = process.await_event("counts", 60)
        run.account(counts["stats"])
        wanted[key] = last(process, "made")
        delivered += counts["flushed"]
        process.kill()
    run.check("the others lost", f"{6 - delivered} of 6 did not deliver all", "0", delivered == 6)
    lost = missing(path, wanted)
    run.check("kept and lost", f"{len(lost)} of {sum(wanted.values())} {lost[:3] or ''}", "0", not lost)
    lives(run, path, seen)
    stores.sound(run, path)
    status, said = stores.command(path, "doctor")
    run.check("doctor", f"{status} {said if status else ''}", "0", status == 0)


def filling(app: App, store: str, key: str, size: int, **options: Any) -> None:
    """Makes traces with texts of `size` that no other has, nearly as fast as it can; reports how the store is.

    SIGUSR1 ends the making, and after a flush the counts are told.
    """
    import ironspan

    stop: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: stop.append(number))
    rng = random.Random(key)
    ironspan.init("faults", store=store, exporters=[], **options)
    told: tuple[object, ...] = ()
    number = 0
    while not stop:
        one(ironspan, f"{key}-{number}", f"{rng.getrandbits(4 * size):x}")
        number += 1
        if told[:1] == ("healthy",):
            # As long as it is written, nothing is to be lost.
            ironspan.flush(1.0)
        stats = ironspan.stats()
        found = stats["destinations"]["store"]
        now = (found["health"], found["last_error"] if found["health"] == "retrying" else None, bool(stats["dropped"]))
        if now != told:
            told = now
            app.emit(str(found["health"]), error=found["last_error"], dropped=stats["dropped"])
        if sum(stats["dropped"].values()):
            app.emit("dropping", dropped=stats["dropped"])
            while not stop:
                time.sleep(0.01)
        time.sleep(0.002)
    app.emit("counts", flushed=bool(ironspan.flush(30.0)), stats=ironspan.stats(), made=number)


def _spans(path: Path) -> int:
    return int(stores.rows(path, "SELECT count(*) FROM span")[0][0]) if path.exists() else 0


@scenario("D21", "the disk is full, and has space again")
def full_disk(run: Run) -> None:
    disk = stores.SmallDisk(run, 24)
    path = disk.folder / "traces.db"
    small = {"limits": {"buffer_bytes": 1 << 20, "span_bytes": 1 << 19}}
    for name, size, options in (("within memory", 200, {}), ("beyond memory", 20_000, small)):
        before = _spans(path)
        process = run.start(filling, store=str(path), key=name, size=size, **options)
        stores.eventually(lambda: _spans(path) > before, 20)  # noqa: B023
        with disk.full(process.pid):
            told = process.await_event("retrying", 20)
            if options:
                process.await_event("dropping", 60)
        healthy = len([event for event in process.events() if event["event"] == "healthy"])
        freed = time.monotonic()
        again = process.await_event("healthy", 20, healthy + 1)["at"] - freed if not options else 0.0
        process.signal(signal.SIGUSR1)
        made = process.await_event("counts", 60)["made"]
        stats = run.finish(process).stats
        dropped = sum(stats["dropped"].values())
        if disk.is_real:
            run.check(f"{name}: said", told["error"], "that it is full", "is full" in str(told["error"]))
        run.check(f"{name}: writes again after", f"{again:.1f} s", "at most 5 s", again <= 5.0)
        shown = f"{EACH * made} made, {stats['delivered']} delivered, dropped {stats['dropped']}"
        exact = (stats["created"], stats["pending"]) == (EACH * made, 0) and bool(dropped) == bool(options)
        run.check(f"{name}: {disk.kind}", shown, "dropped only beyond memory", exact)
        kept = _spans(path) - before
        run.check(f"{name}: in the store", kept, "as delivered", kept == stats["delivered"])
        stores.sound(run, path, name)
    process = run.start(writing, store=str(path), key="killed")
    process.await_event("kept", 20)
    with disk.full(process.pid):
        time.sleep(0.5)
        process.signal(signal.SIGKILL)
        process.ended(10)
    lost = missing(path, {"killed": last(process, "kept")})
    run.check("killed while it was full: kept and lost", len(lost), "0", not lost)
    stores.sound(run, path, "killed")
    if disk.is_real:
        fresh = disk.folder / "fresh" / "traces.db"
        with disk.full():
            process = run.start(filling, store=str(fresh), key="fresh", size=200)
            process.await_event("retrying", 20)
        stores.eventually(lambda: _spans(fresh) > 0, 10)
        process.signal(signal.SIGUSR1)
        stats = run.finish(process).stats
        shown = f"{_spans(fresh)} kept of {stats['created']}, {stats['delivered']} delivered"
        run.check("full when it began", shown, "all", _spans(fresh) == stats["created"] == stats["delivered"] > 0)
        stores.sound(run, fresh, "fresh")


def holding(app: App, store: str, idle: bool) -> None:
    """Holds a store open. Busy, it goes on making traces; idle, it makes none until SIGUSR1 ends both."""
    import ironspan

    stop: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: stop.append(number))
    ironspan.init("faults", store=store, exporters=[])
    key = "idle" if idle else "busy"
    one(ironspan, f"{key}-before")
    app.emit("held", flushed=bool(ironspan.flush(20.0)))
    number = 0
    while not stop:
        if not idle:
            one(ironspan, f"{key}-{number}")
            number += 1
        time.sleep(0.005)
    one(ironspan, f"{key}-after")
    app.emit("counts", flushed=bool(ironspan.flush(20.0)), stats=ironspan.stats())


def deleted(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def deleted_alone(path: Path) -> None:
    path.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replaced(path: Path) -> None:
    # A store of another time, as from a backup, put in the place while the log of the present one lies beside it.
    path.with_name("other.db").replace(path)


def emptied(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def halved(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def scribbled(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not what was here" * 4_000)


@scenario("D13", "a store that is deleted, renamed, replaced, cut or overwritten under two writers, one of them idle")
def taken_away(run: Run) -> None:
    ways = (deleted, deleted_alone, renamed, replaced, emptied, halved, scribbled)
    for way in ways:
        path = run.folder() / "traces.db"
        if way is replaced:
            run.finish(run.start(filling_once, store=str(path.with_name("other.db"))))
        holders = [run.start(holding, store=str(path), idle=idle) for idle in (False, True)]
        for holder in holders:
            holder.await_event("held", 20)
        way(path)
        at = time.monotonic()
        if way is replaced:
            # A log of another file beside a file is a trap for whoever opens them: the writers see to it.
            stores.eventually(lambda: bool(_named(path, "other") and _named(path, "busy-*")), 20)  # noqa: B023
        # By a process that begins afterwards, too.
        begun = time.monotonic()
        late = run.start(holding, store=str(path), idle=True)
        late.await_event("held", 60)
        newcomer = time.monotonic() - begun
        stores.eventually(lambda: bool(_named(path, "busy-*")), 20)  # noqa: B023
        took = time.monotonic() - at
        # What is written in the first two seconds may still go to the old file.
        time.sleep(max(0.0, at + 2.5 - time.monotonic()))
        for holder in (*holders, late):
            holder.signal(signal.SIGUSR1)
        name = way.__name__.replace("_", " ")
        for holder in (*holders, late):
            counts = holder.await_event("counts", 60)
            run.account(counts["stats"])
            run.finish(holder)
        after = _named(path, "*-after")
        run.check(f"{name}: the busy one writes again", f"{took:.1f} s", "within 5 s", took <= 5.0)
        run.check(f"{name}: a new one writes", f"{newcomer:.1f} s", "within 5 s", newcomer <= 5.0)
        run.check(f"{name}: all three write in the end", after, "3", after == 3)
        stores.sound(run, path, name)


def filling_once(app: App, store: str) -> None:
    """A store with one trace."""
    import ironspan

    ironspan.init("faults", store=store, exporters=[])
    one(ironspan, "other")
    ironspan.shutdown(20.0)


def _named(path: Path, pattern: str) -> int:
    return int(stores.rows(path, f"SELECT count(*) FROM trace WHERE name GLOB '{pattern}' AND spans = {EACH}")[0][0])


def at_once(app: App, store: str, key: str, begin: float) -> None:
    """One trace at a given time."""
    import ironspan

    ironspan.init("faults", store=store, exporters=[])
    time.sleep(max(0.0, begin - time.monotonic()))
    one(ironspan, key)
    app.emit("flushed", done=bool(ironspan.flush(20.0)), stats=ironspan.stats())


@scenario("D07", "a damaged store, found by 8 processes at once")
def damaged(run: Run) -> None:
    rng = random.Random(7)
    for name in ("noise behind a header", "a store cut in half", "a page of noise"):
        path = run.folder() / "traces.db"
        if name == "noise behind a header":
            path.write_bytes(b"SQLite format 3\0" + rng.randbytes(30_000))
        else:
            run.finish(run.start(holding_once, store=str(path), traces=200))
            whole = path.read_bytes()
            middle = len(whole) // 2
            cut = whole[:middle]
            path.write_bytes(
                cut if name == "a store cut in half" else cut[:8192] + rng.randbytes(middle - 8192) + whole[middle:]
            )
        before = path.read_bytes()
        begin = time.monotonic() + 2.0
        apps = [run.start(at_once, store=str(path), key=f"a{n}", begin=begin) for n in range(8)]
        done = [run.finish(app).one("flushed") for app in apps]
        aside = [file for file in path.parent.iterdir() if ".damaged-" in file.name and file.suffix not in (".db-wal",)]
        copies = [file for file in aside if not file.name.endswith(("-wal", "-shm"))]
        # Damage that is inside is found when others have written to the file already.
        same = len(copies) == 1 and (copies[0].read_bytes() == before or name == "a page of noise")
        run.check(f"{name}: moved aside", len(copies), "1, as it was", same)
        kept, told = _named(path, "a*"), sum(found["done"] for found in done)
        run.check(f"{name}: traces kept of 8", f"{kept}, said of {told}", "8", kept == told == 8)
        stores.sound(run, path, name)


def holding_once(app: App, store: str, traces: int) -> None:
    """A finished store of some size."""
    import ironspan

    ironspan.init("faults", store=store, exporters=[])
    for number in range(traces):
        one(ironspan, f"old-{number}", f"{number} " * 300)
    ironspan.shutdown(20.0)
