"""Is every tree right when 1,000 asynchronous requests run at once through one handler?

Each request of five runs has a number, which its names and texts carry, and each tracer's spans are judged by what its
sink received: a tree is wrong when a span is missing, stands elsewhere, or belongs to two requests. The bar: no wrong
tree. LangSmith is left out: it does not speak OTLP.
"""

from __future__ import annotations

from benches.framework_subjects import installed
from benches.measure import Row, main
from benches.programs import run
from tests.faults import receivers
from tests.support import crowd

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    count = 200 if quick else 1_000
    rows = []
    for subject in installed():
        if subject == "LangSmith":
            continue
        sink = receivers.start("ok", detail="spans")
        result = run("crowd_of_requests", subject, endpoint=sink.endpoint, requests=count, limit=600.0)
        sink.wait("spans", count * len(crowd.TREE), 5.0)
        wrong = crowd.wrong(sink.spans(), count)
        sink.close()
        ours = subject == "ironspan"
        note = f"{result['seconds']:.1f} s of CPU" + (f"; {wrong[0][:120]}" if wrong else "")
        rows.append(
            Row(
                f"wrong trees of {count:,} requests at once",
                subject,
                len(wrong),
                "",
                bar="none" if ours else None,
                passed=not wrong if ours else None,
                note=note,
            )
        )
    return rows


if __name__ == "__main__":
    main(measure)
