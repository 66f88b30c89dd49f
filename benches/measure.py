"""What the benches share: interleaved rounds, medians with quartiles, bars, and the two forms of output.

Rules every bench keeps. Rivals run in the same process run as ironspan, round by round, so that a change of load on the
machine hits all of them. A cost on the caller is CPU time of the calling thread (`time.thread_time_ns`), never wall
time; the cost of the loop itself is measured as one more variant in the same rounds and subtracted. Medians are
reported with the quartiles, and bars are judged on medians: of a cost, or of its ratio to a rival's in the same round.

A bench is a module with a docstring that asks one question and a function `measure(quick)`; `python -m benches.NAME`
prints its table and exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["ROOT", "Row", "caller_cpu", "environment", "main", "quartiles", "table", "versus"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Row:
    """One measured value. `bar` is the text of the limit, `passed` its verdict; both None where nothing is judged."""

    what: str
    subject: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    bar: str | None = None
    passed: bool | None = None
    note: str = ""

    def rendered(self) -> list[str]:
        value = "-" if self.value is None else f"{_short(self.value)} {self.unit}".strip()
        spread = f"{_short(self.low)} - {_short(self.high)}" if self.low is not None and self.high is not None else ""
        verdict = {None: "", True: "PASS", False: "FAIL"}[self.passed]
        return [self.what, self.subject, value, spread, self.bar or "", verdict, self.note]


def _short(value: float) -> str:
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(samples) < 4:
        return min(samples), statistics.median(samples), max(samples)
    low, middle, high = statistics.quantiles(samples, n=4)
    return low, middle, high


def caller_cpu(
    variants: dict[str, Callable[[int], None]],
    *,
    rounds: int,
    spans: int,
    settle: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """CPU nanoseconds of this thread per iteration, one sample per round, the empty loop already subtracted.

    Each round runs every variant once with `spans` iterations, in rotating order; `settle(name)` runs after a variant
    and outside its measurement, and is where its background work is waited for. Rounds are short on purpose: a rival
    whose queue holds 2,048 spans would otherwise be measured while it drops them.
    """

    def empty(count: int) -> None:
        for _ in range(count):
            pass

    names = list(variants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for variant in variants.values():
        variant(spans)
    for name in names:
        settle(name)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.thread_time_ns()
            empty(spans)
            between = time.thread_time_ns()
            variants[name](spans)
            ended = time.thread_time_ns()
            samples[name].append(((ended - between) - (between - began)) / spans)
            settle(name)
    return samples


def versus(
    what: str, samples: dict[str, list[float]], *, unit: str, ours: str, rival: str, at_most: float, scale: float = 1.0
) -> list[Row]:
    """Rows for all subjects, and one that judges `ours / rival` against `at_most`.

    The ratio is taken round by round, and its median judged: two neighbours in time have met the same machine.
    """
    rows = []
    for subject, values in samples.items():
        low, middle, high = quartiles([value * scale for value in values])
        rows.append(Row(what, subject, middle, unit, low, high))
    if ours in samples and rival in samples:
        pairs = zip(samples[rival], samples[ours], strict=True)
        low, times, high = quartiles([theirs / max(own, 1e-9) for theirs, own in pairs])
        bar = 1 / at_most
        rows.append(
            Row(what, f"{rival} / {ours}", times, "x", low, high, bar=f"at least {_short(bar)} x", passed=times >= bar)
        )
    return rows


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip()


def environment() -> dict[str, str]:
    """Machine, commit and versions: without them a number means nothing."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    changed = " with local changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return {
        "machine": f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}",
        "load": "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()),
        "commit": (_git("rev-parse", "--short", "HEAD") or "unknown") + changed,
        "python": platform.python_version(),
        "ironspan": _version("ironspan"),
        "opentelemetry-sdk": _version("opentelemetry-sdk"),
        "ddtrace": _version("ddtrace"),
        "langchain-core": _version("langchain-core"),
        "llama-index-core": _version("llama-index-core"),
        "openinference-instrumentation-langchain": _version("openinference-instrumentation-langchain"),
        "opentelemetry-instrumentation-langchain": _version("opentelemetry-instrumentation-langchain"),
        "langfuse": _version("langfuse"),
        "langsmith": _version("langsmith"),
        "mlflow-tracing": _version("mlflow-tracing"),
    }


def table(rows: Sequence[Row]) -> str:
    """A markdown table, columns padded so that it reads in a terminal too."""
    lines = [["what", "subject", "median", "quartiles", "bar", "", "note"], *(row.rendered() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]

    def render(line: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([render(lines[0]), rule, *(render(line) for line in lines[1:])])


def main(measure: Callable[[bool], list[Row]]) -> None:
    """Command line of a single bench. Exit code 1: a bar is missed; 2: nothing was there to be judged."""
    parser = argparse.ArgumentParser(description=sys.modules[measure.__module__].__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; the bars stay")
    parser.add_argument("--json", action="store_true", help="one JSON object per row instead of a table")
    chosen = parser.parse_args()
    rows = measure(chosen.quick)
    if chosen.json:
        for row in rows:
            print(json.dumps(asdict(row)))
    else:
        print("\n".join(f"{name}: {value}" for name, value in environment().items()))
        print(table(rows))
    sys.stdout.flush()
    # Rivals with a queue to drain would hold the exit; what they do there is another bench's question.
    verdicts = {row.passed for row in rows} - {None}
    os._exit(1 if False in verdicts else 0 if verdicts else 2)
