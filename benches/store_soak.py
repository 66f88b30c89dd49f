"""Does one store stand eight processes that write for ten minutes?

Eight processes, 625 spans a second each, traces of twelve, into one file. Judged: no span is dropped, each is a row,
and the log beside the file stays under 256 MB. Not part of `make bench`, for its length:

    python -m benches.store_soak [--quick]        --quick: one minute
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.measure import ROOT, Row, main

__all__ = ["measure"]

_PROCESSES = 8
_RATE = 625
_TRACE = 12


def _child(where: str, seconds: float) -> None:
    import ironspan

    ironspan.init(service="soak", store=where)
    text = "x" * 80
    began = time.monotonic()
    made = 0
    while time.monotonic() - began < seconds:
        with ironspan.span("request"):
            for _ in range(_TRACE - 1):
                with ironspan.span("chat") as step:
                    for key in ("a", "b", "c", "d"):
                        step.set(f"attribute.{key}", text)
        made += _TRACE
        # Asleep, as an agent is while a model answers: eight loops that spin would measure each other's hold on the
        # processor. The pace is that of the clock since the start, so that a sleep that took too long is made up for;
        # whether it was kept is judged below.
        ahead = made / _RATE - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    ironspan.flush(120.0)
    stats = ironspan.stats()
    print(json.dumps({"made": made, "delivered": stats["delivered"], "dropped": sum(stats["dropped"].values())}))


def measure(quick: bool) -> list[Row]:
    return soak(60 if quick else 600)


def soak(seconds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store, log = Path(folder, "traces.db"), Path(folder, "traces.db-wal")
        command = [sys.executable, "-m", "benches.store_soak", "--child", str(store), str(seconds)]
        writers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)]
        largest = 0
        while any(writer.poll() is None for writer in writers):
            if log.exists():
                largest = max(largest, log.stat().st_size)
            # It grows by some megabytes a second: what passes between two looks is little beside the bar.
            time.sleep(0.2)
        told = [json.loads(writer.communicate()[0]) for writer in writers]
        sums = {key: sum(one[key] for one in told) for key in ("made", "delivered", "dropped")}
        # The writers are gone, and this process has no store of its own open.
        connection = sqlite3.connect(store)
        (rows,) = connection.execute("SELECT count(*) FROM span").fetchone()
        (sound,) = connection.execute("PRAGMA quick_check").fetchone()
        connection.close()
    what = f"{_PROCESSES} processes on one file for {seconds // 60} min"
    rate = sums["made"] / seconds
    return [
        Row(what, "spans a second", rate, "", bar="at least 4900", passed=rate >= 4900),
        Row(what, "dropped", sums["dropped"], "", bar="0", passed=sums["dropped"] == 0),
        Row(
            what,
            "rows, of the spans made",
            rows,
            "",
            bar=f"{sums['made']}",
            passed=rows == sums["made"] and sound == "ok",
        ),
        Row(what, "largest log", largest / 1e6, "MB", bar="at most 256 MB", passed=largest <= 256e6),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--child", where, seconds]:
            _child(where, float(seconds))
        case _:
            main(measure)
