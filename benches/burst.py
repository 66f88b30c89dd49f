"""Does everything arrive when four threads make 200,000 spans as fast as they can, and what memory does that take?

Defaults, healthy collector in another process, each subject in a process of its own. The bar: all 200,000 delivered or,
where the buffer's bound was reached, a count of the dropped that is exact to the span; at most 80 MiB of memory above
the start at any moment.
"""

from __future__ import annotations

from benches.measure import Row, main
from benches.programs import run
from benches.subjects import available, sink_url
from tests.faults import receivers

__all__ = ["measure"]

SPANS = 200_000
# The spans a program makes before it starts to watch its memory.
WARM = 100


def measure(quick: bool) -> list[Row]:
    rows = []
    for _ in range(1 if quick else 3):
        for subject, package in (("ironspan", "ironspan"), ("opentelemetry-python", "opentelemetry")):
            if not available(package):
                continue
            sink = receivers.start("ok", detail="ids")
            result = run("burst", subject, endpoint=sink_url(sink), spans=SPANS, threads=4)
            arrived = sink.report()["unique"] - WARM
            sink.close()
            note = f"{SPANS / result['seconds']:,.0f} spans/s made"
            ours = subject == "ironspan"
            passed = None
            if ours:
                stats = result["stats"]
                dropped = sum(stats["dropped"].values())
                exact = (
                    stats["created"] == SPANS + WARM == stats["delivered"] + dropped
                    and stats["delivered"] == arrived + WARM
                    and not stats["rejected"]
                )
                passed = exact and set(stats["dropped"]) <= {"buffer_full", "queue_full"}
                note += f", dropped {stats['dropped'] or 0}"
            rows.append(
                Row(
                    "delivered of 200,000 from 4 threads",
                    subject,
                    100 * arrived / SPANS,
                    "%",
                    bar="100 %, or exact drops" if ours else None,
                    passed=passed,
                    note=note,
                )
            )
            rows.append(
                Row(
                    "memory growth, peak",
                    subject,
                    result["growth"],
                    "MiB",
                    bar="at most 80 MiB" if ours else None,
                    passed=result["growth"] <= 80 if ours else None,
                )
            )
    return rows


if __name__ == "__main__":
    main(measure)
