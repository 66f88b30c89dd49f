"""What does a span cost the whole process, from its start to the collector's answer?

CPU time of the process over rounds of 2,000 spans and the flush that ends them, with a healthy collector in another
process. The caller's share is shown apart from the rest (collector, encoding, sending). The bar is a tenth of
opentelemetry-python with its batch processor and its OTLP/HTTP exporter.
"""

from __future__ import annotations

import time

from benches.measure import Row, main, quartiles, versus
from benches.subjects import all_subjects

__all__ = ["measure"]

# Under the 2,048 that opentelemetry-python queues: a dropped span would be a cheap one.
SPANS = 2_000


def measure(quick: bool) -> list[Row]:
    subjects = all_subjects()
    whole: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    caller: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    rounds = 6 if quick else 30
    for number in range(-1, rounds):
        shift = number % max(1, len(subjects))
        for subject in subjects[shift:] + subjects[:shift]:
            process, thread = time.process_time_ns(), time.thread_time_ns()
            subject.spans(SPANS)
            subject.flush()
            thread_used = time.thread_time_ns() - thread
            process_used = time.process_time_ns() - process
            if number >= 0:
                whole[subject.name].append(process_used / SPANS)
                caller[subject.name].append(thread_used / SPANS)
    what = "process CPU per exported span"
    rows = versus(what, whole, unit="us", ours="ironspan", rival="opentelemetry-python", at_most=1 / 10, scale=1e-3)
    for name, values in caller.items():
        low, middle, high = quartiles([value / 1e3 for value in values])
        rows.append(Row("of that, on the calling thread (flush included)", name, middle, "us", low, high))
    for subject in subjects:
        if subject.sink is not None:
            arrived = subject.sink.report()["spans"]
            expected = SPANS * (rounds + 1)
            # Only ironspan is judged: what a rival loses is shown, and its own affair.
            passed = arrived == expected if subject.name == "ironspan" else None
            rows.append(Row("spans that arrived", subject.name, arrived, "", bar=f"{expected}", passed=passed))
    return rows


if __name__ == "__main__":
    main(measure)
