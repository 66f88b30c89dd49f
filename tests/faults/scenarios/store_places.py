"""D, second part: places that hold no store, other people's eyes, and a reader that does not let go."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

from tests.faults import stores
from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.scenarios.store import one

__all__: list[str] = []

#: Nobody: whom folders are closed to when the scenarios are run by root, who may do everything.
NOBODY = 65_534


def placed(app: App, store: str | None, as_nobody: bool) -> None:
    """Makes a few spans for a store that cannot be there. Everything is loaded before the rights go."""
    import logging

    import ironspan

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.getLogger("ironspan")
    logger.addHandler(Keep(logging.WARNING))
    logger.propagate = False
    if as_nobody:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    refused = None
    try:
        ironspan.init("faults", store=store, exporters=[])
    except ironspan.ConfigError as error:
        refused = str(error)
    one(ironspan, "nowhere")
    began = time.monotonic()
    flushed = bool(ironspan.flush(1.0))
    stats = ironspan.stats()
    told = stats["destinations"].get("store", {}).get("last_error")
    app.emit("placed", flushed=flushed, took=time.monotonic() - began, told=told, refused=refused, stats=stats)
    ironspan.shutdown(1.0)
    app.emit("lines", lines=lines)


@scenario("D09", "places that hold no store: files, pipes, devices, closed folders, long names, no home", lane="quiet")
def no_place(run: Run) -> None:
    is_root = os.geteuid() == 0
    folder = run.folder()
    if is_root:
        # As nobody the app has to come as far as to the closed folder.
        for above in (folder, folder.parent):
            above.chmod(0o711)
    places: dict[str, str | None] = {}

    def place(name: str, path: Path | None) -> None:
        places[name] = None if path is None else str(path)

    (folder / "file").write_text("")
    place("a file for a folder", folder / "file" / "traces.db")
    (folder / "folder").mkdir()
    place("a folder", folder / "folder")
    os.mkfifo(folder / "pipe")
    place("a pipe", folder / "pipe")
    place("a device", Path("/dev/null"))
    place("not a real file system", Path("/proc/self/traces.db"))
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    place("a folder that is closed", closed / "traces.db")
    place("a long name", folder / ("n" * 300))
    place("a long path", folder / "/".join(["deep"] * 1_500) / "traces.db")
    (folder / "loop").symlink_to(folder / "loop")
    place("a link to itself", folder / "loop")
    place("no home", None)
    for name, store in places.items():
        environment = {"HOME": "", "XDG_DATA_HOME": ""} if store is None else {}
        process = run.start(
            placed, store=store, as_nobody=is_root and name == "a folder that is closed", environment=environment
        )
        result = run.finish(process)
        found, lines = result.one("placed"), result.one("lines")["lines"]
        lost = sum(result.stats["dropped"].values())
        told = found["told"] or found["refused"] or ""
        shown = f"{lost} lost, told {told[-60:]!r}, {len(lines)} lines"
        # Without a home there may be another place; otherwise the loss is counted, told in stats() and once in the log.
        good = bool(told) and not found["flushed"] and (lost == 4 or bool(found["refused"])) and 1 <= len(lines) <= 2
        good = good or (store is None and found["flushed"] and lost == 0)
        run.check(name, shown, "counted and told", good)


def visible(app: App, store: str) -> None:
    import ironspan

    os.umask(0)
    ironspan.init("faults", store=store, exporters=[])
    one(ironspan, "private")
    flushed = bool(ironspan.flush(1.0))
    modes = {file.name: f"{file.lstat().st_mode & 0o777:o}" for file in Path(store).parent.iterdir()}
    folder = f"{Path(store).parent.stat().st_mode & 0o777:o}"
    told = ironspan.stats()["destinations"]["store"]["last_error"]
    app.emit("modes", flushed=flushed, files=modes, folder=folder, told=told)
    ironspan.shutdown(0.5)


@scenario("D10", "umask 000, and a link planted in the place of the store")
def private(run: Run) -> None:
    folder = run.folder()
    found = run.app(visible, store=str(folder / "new" / "traces.db")).one("modes")
    files = found["files"]
    good = found["folder"] == "700" and set(files.values()) == {"600"} and "traces.db-wal" in files
    run.check("modes", f"folder {found['folder']}, {files}", "700 and 600", good and found["flushed"])
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    target = folder / "target"
    target.write_text("somebody's")
    for link, to in (("to a file", target), ("to nothing", folder / "nothing")):
        (shared / "traces.db").unlink(missing_ok=True)
        (shared / "traces.db").symlink_to(to)
        found = run.app(visible, store=str(shared / "traces.db")).one("modes")
        untouched = target.read_text() == "somebody's" and not (folder / "nothing").exists()
        run.check(f"a link {link}", f"told {found['told']!r}", "refused", untouched and not found["flushed"])


def in_rounds(app: App, store: str, traces: int) -> None:
    """Makes so many traces for each SIGUSR1, three times."""
    import ironspan

    wanted: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: wanted.append(number))
    ironspan.init("faults", store=store, exporters=[])
    app.emit("ready")
    for number in range(3):
        while len(wanted) <= number:
            time.sleep(0.005)
        for at in range(traces):
            one(ironspan, f"{number}-{at}", f"{number} {at} " * 200)
            if at % 200 == 199:
                ironspan.flush(20.0)
        app.emit("round", flushed=bool(ironspan.flush(20.0)))


@scenario("D11", "another program reads and does not let go, while much is written")
def held_snapshot(run: Run) -> None:
    path = run.folder() / "traces.db"
    log = path.with_name("traces.db-wal")
    traces = run.pick(1_500, 60_000)
    process = run.start(in_rounds, store=str(path), traces=traces)
    process.await_event("ready", 20)
    sizes = []

    def next_round() -> None:
        process.signal(signal.SIGUSR1)
        process.await_event("round", 300, len(sizes) + 1)
        sizes.append(log.stat().st_size)

    next_round()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM span").fetchone()
        next_round()
        again = reader.execute("SELECT count(*) FROM span").fetchone()
        run.check("what the reader sees", f"{seen[0]}, then {again[0]}", "the same", seen == again)
    next_round()
    stats = run.finish(process).stats
    run.check("delivered", f"{stats['delivered']} of {stats['created']}", "all", stats["delivered"] == stats["created"])
    shown = ", ".join(f"{size / 1e6:.0f} MB" for size in sizes)
    # While it is held the log grows by all that is written; afterwards it is used from its beginning again.
    run.check("log before, while it is held, after", shown, "grows no further", sizes[2] <= sizes[1] + (8 << 20))
    stores.sound(run, path)
