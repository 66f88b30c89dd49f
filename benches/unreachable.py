"""Does code that makes spans notice that the collector is unreachable, or never answers?

Wall time of every span at 1,000 a second, less the time the thread waited for a CPU (the machine's affair, read from
schedstat). Three processes per round, one for each state of the collector. The bar: the 99th percentile with a dead or
a silent collector is at most twice the healthy one.
"""

from __future__ import annotations

import statistics

from benches.measure import Row, main, quartiles
from benches.programs import run
from benches.subjects import available, sink_url
from tests.faults import receivers

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    rows = []
    for subject, package in (("ironspan", "ironspan"), ("opentelemetry-python", "opentelemetry")):
        if not available(package):
            continue
        taken: dict[str, list[float]] = {"ok": [], "refuse": [], "blackhole": []}
        worst = dict.fromkeys(taken, 0.0)
        for _ in range(3 if quick else 7):
            for mode, values in taken.items():
                sink = receivers.start(mode, detail="count")
                result = run("pauses", subject, endpoint=sink_url(sink), spans=3_000, period=0.001)
                sink.close()
                values.append(result["p99"] / 1e3)
                worst[mode] = max(worst[mode], result["max"] / 1e3)
        healthy = statistics.median(taken["ok"])
        for mode, values in taken.items():
            low, middle, high = quartiles(values)
            judged = subject == "ironspan" and mode != "ok"
            rows.append(
                Row(
                    f"p99 of a span, collector: {mode}",
                    subject,
                    middle,
                    "us",
                    low,
                    high,
                    bar=f"at most {2 * healthy:.1f} us" if judged else None,
                    passed=middle <= 2 * healthy if judged else None,
                    note=f"worst {worst[mode]:.0f} us",
                )
            )
    return rows


if __name__ == "__main__":
    main(measure)
