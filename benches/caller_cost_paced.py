"""What does a span cost the code that makes it when there is a pause before each one?

2,000 spans a second: the caches have gone cold in between, as they do in an agent that waits for models. CPU time of
the calling thread around each single span; an empty pair of clock readings, paced the same way, is one more variant
and is subtracted. The bar is a tenth of opentelemetry-python.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benches.measure import Row, main, versus
from benches.subjects import all_subjects

__all__ = ["measure"]

PERIOD_NS = 500_000


def paced(work: Callable[[int], None], count: int) -> list[int]:
    """CPU nanoseconds of each of `count` calls, one per period."""
    taken = []
    due = time.perf_counter_ns()
    for _ in range(count):
        due += PERIOD_NS
        time.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
        began = time.thread_time_ns()
        work(1)
        taken.append(time.thread_time_ns() - began)
    return taken


def measure(quick: bool) -> list[Row]:
    subjects = {subject.name: subject for subject in all_subjects()}

    def nothing(count: int) -> None:
        for _ in range(count):
            pass

    variants = {"nothing": nothing, **{name: subject.spans for name, subject in subjects.items()}}
    blocks: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-1, 4 if quick else 16):
        order = list(variants)
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            median = statistics.median(paced(variants[name], 500))
            if name in subjects:
                subjects[name].flush()
            if number >= 0:
                blocks[name].append(median)
    floor = statistics.median(blocks.pop("nothing"))
    samples = {name: [value - floor for value in values] for name, values in blocks.items()}
    what = "caller CPU, `with` + 5 attributes, 2,000/s"
    rows = versus(what, samples, unit="us", ours="ironspan", rival="opentelemetry-python", at_most=1 / 10, scale=1e-3)
    rows[-1].note = (rows[-1].note + f" clock and loop: {floor / 1e3:.2f} us, subtracted").strip()
    return rows


if __name__ == "__main__":
    main(measure)
