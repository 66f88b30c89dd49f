"""How long does a process take to end when its collector is dead, silent, or answers one byte a second?

Wall time from the last statement of the program to its death, with 100 and with 5,000 spans queued, less what a program
without any tracing needs. The bar is 2.5 seconds.
"""

from __future__ import annotations

import statistics

from benches.measure import Row, main, quartiles
from benches.programs import run
from benches.subjects import available, sink_url
from tests.faults import receivers

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    baseline = statistics.median(run("leave", "nothing", endpoint="", spans=0)["exit_seconds"] for _ in range(5))
    rows = []
    for mode in ("ok", "refuse", "blackhole", "drip"):
        for spans in (100, 5_000):
            for subject, package in (("ironspan", "ironspan"), ("opentelemetry-python", "opentelemetry")):
                ours = subject == "ironspan"
                if not available(package) or (not ours and (quick or spans != 100)):
                    continue
                taken = []
                for _ in range(2 if quick else 5 if ours else 1):
                    sink = receivers.start(mode, detail="count")
                    taken.append(run("leave", subject, endpoint=sink_url(sink), spans=spans)["exit_seconds"] - baseline)
                    sink.close()
                low, middle, high = quartiles(taken)
                rows.append(
                    Row(
                        f"exit, collector: {mode}, {spans} spans queued",
                        subject,
                        middle,
                        "s",
                        low,
                        high,
                        bar="at most 2.5 s" if ours else None,
                        # Every run has to keep the promise, not the typical one.
                        passed=max(taken) <= 2.5 if ours else None,
                        note=f"worst {max(taken):.2f} s",
                    )
                )
    return rows


if __name__ == "__main__":
    main(measure)
