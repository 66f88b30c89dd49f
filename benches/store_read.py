"""How long do questions take on a store of a million spans?

The questions are asked in Rust by tests/store_scale.rs, where what reads the store is; this compiles it as a wheel is
compiled, and judges its table: the median of five, in a warm page cache. The store is as `ironspan view` keeps it, with
roll-ups and text index, but for the row that says exact: roll-ups are what makes figures sketches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from benches.measure import ROOT, Row, main

__all__ = ["measure"]

_BEFORE, _AFTER = "before maintenance", "after maintenance"
# What is asked for in which state of the store, and milliseconds at most. A phrase is no question for the index: it is
# looked for one by one, for a second at most, and the next page goes on from there.
_BARS = (
    (_AFTER, "newest 50 traces", 5),
    (_AFTER, "a trace of 25 spans", 2),
    (_AFTER, "a trace of 10,000 spans", 50),
    (_BEFORE, "percentiles by agent, all, exact", 400),
    (_AFTER, "percentiles by agent, all, sketched", 50),
    (_AFTER, "search: two words", 500),
    (_AFTER, "search: a phrase that is nowhere", None),
)
_LINE = re.compile(r"(?P<what>.*?) +(?P<middle>[\d.]+) ms +(?P<low>[\d.]+) - (?P<high>[\d.]+) +\d+ B")


def _asked(spans: int) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Median, shortest and longest milliseconds of every question in both states of the store."""
    # With the features of a wheel, whose dependencies are compiled already.
    command = ["cargo", "test", "--locked", "--quiet", "--release", "--features", "full", "--test", "store_scale"]
    command += ["--", "--ignored", "--nocapture"]
    environment = {**os.environ, "IRONSPAN_SCALE_SPANS": str(spans)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found, state = {}, ""
    for line in done.stdout.splitlines():
        state = line.removeprefix("-- ") if line.startswith("-- ") else state
        if matched := _LINE.fullmatch(line):
            low, middle, high = (float(matched[name]) for name in ("low", "middle", "high"))
            found[state, matched["what"]] = (middle, low, high)
    return found


def measure(quick: bool) -> list[Row]:
    spans = 1_000_000
    if shutil.which("cargo") is None:
        return [Row(f"{spans:,} spans", "ironspan", None, "ms", note="no cargo to compile the questions with")]
    found = _asked(spans)
    rows = []
    for state, what, most in _BARS:
        middle, low, high = found.get((state, what), (None, None, None))
        row = Row(f"{spans:,} spans: {what}", "ironspan", middle, "ms", low, high)
        if most is not None:
            row.bar, row.passed = f"at most {most} ms", middle is not None and middle <= most
        row.note = "no answer" if middle is None else "" if state == _AFTER else state
        rows.append(row)
    return rows


if __name__ == "__main__":
    main(measure)
