"""What does a span cost the code that makes it, in a tight loop?

A `with` block and five attributes, CPU time of the calling thread, caches warm. The bar is a thirtieth of
opentelemetry-python's `start_as_current_span`; the aim is a forty-fifth.
"""

from __future__ import annotations

from benches.measure import Row, caller_cpu, main, versus
from benches.subjects import all_subjects

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    subjects = {subject.name: subject for subject in all_subjects()}
    samples = caller_cpu(
        {name: subject.spans for name, subject in subjects.items()},
        rounds=30 if quick else 200,
        spans=500,
        settle=lambda name: subjects[name].flush(),
    )
    what = "caller CPU, `with` + 5 attributes, warm"
    rows = versus(what, samples, unit="ns", ours="ironspan", rival="opentelemetry-python", at_most=1 / 30)
    if rows[-1].passed is not None:
        rows[-1].note = "aim: 45 x" + (", reached" if (rows[-1].value or 0) >= 45 else ", not reached")
    return rows


if __name__ == "__main__":
    main(measure)
