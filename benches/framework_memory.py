"""Does memory stay flat over 10,000 requests of LangChain and of LangGraph?

Resident memory after 10,000 requests of seven runs, less that after the first 1,000; each tracer in a process of its
own, which sends all it has before either reading. "nothing" is what the framework does by itself. The bar: 5 MB.
"""

from __future__ import annotations

from benches.framework_requests import PROGRAMS
from benches.framework_subjects import installed
from benches.measure import Row, main
from benches.programs import run
from tests.faults import receivers

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    first, more = (300, 1_200) if quick else (1_000, 9_000)
    rows = []
    for framework in PROGRAMS:
        for subject in [*installed(), "nothing"]:
            sink = receivers.start("ok", detail="count")
            options = {"framework": framework, "endpoint": sink.endpoint, "first": first, "more": more}
            growth = run("many_requests", subject, limit=1_200.0, **options)["growth"]
            sink.close()
            ours = subject == "ironspan"
            rows.append(
                Row(
                    f"memory growth, {framework}, request {first:,} to {first + more:,}",
                    subject,
                    growth,
                    "MB",
                    bar="at most 5 MB" if ours else None,
                    passed=growth <= 5 if ours else None,
                )
            )
    return rows


if __name__ == "__main__":
    main(measure)
