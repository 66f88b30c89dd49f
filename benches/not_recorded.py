"""What does a span cost that is not recorded: before `init()`, and when the sampler says no?

CPU time of the calling thread for `with ironspan.span("chat"): pass`, warm. The bar is 150 ns. The same with five
attributes set is shown and not judged: it is five more calls.
"""

from __future__ import annotations

from benches.measure import Row, main, quartiles
from benches.programs import run
from benches.subjects import available

__all__ = ["measure"]


def measure(quick: bool) -> list[Row]:
    rows: list[Row] = []
    if not available("ironspan"):
        return rows
    for how in ("disabled", "unsampled"):
        result = run("idle_span", "ironspan", how=how, rounds=50 if quick else 300)
        for shape in ("bare", "with 5 attributes"):
            low, middle, high = quartiles(result[shape])
            judged = shape == "bare"
            rows.append(
                Row(
                    f"{how} span, {shape}",
                    "ironspan",
                    middle,
                    "ns",
                    low,
                    high,
                    bar="at most 150 ns" if judged else None,
                    passed=middle <= 150 if judged else None,
                )
            )
    return rows


if __name__ == "__main__":
    main(measure)
