"""What the agents can do: look up notes, read measurements, compute."""

from __future__ import annotations

import csv
import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

import sandbox
from knowledge import NotesRetriever, passages
from langchain_core.tools import BaseTool, tool

HERE = Path(__file__).parent


def percentile(values: list[float], share: float) -> float:
    """Linear interpolation between the closest ranks."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Warehouse:
    """Measurements of requests. The connection in the pool has been idle since the morning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stale = True
        self._rows: list[dict[str, str]] = []

    def rows(self, build: str) -> list[dict[str, str]]:
        """The requests that `build` served.

        Raises:
            ConnectionResetError: The server had closed the idle connection; the next call opens a new one.
        """
        if self._stale:
            self._stale = False
            raise ConnectionResetError(104, "the warehouse closed the connection after 3600 s without a query")
        if not self._rows:
            with self._path.open(newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))
        found = [row for row in self._rows if row["build"] == build]
        if not found:
            known = sorted({row["build"] for row in self._rows})
            raise ValueError(f"no requests of build {build}; there are {', '.join(known)}")
        return found

    def column(self, name: str, build: str) -> list[float]:
        """One measurement of every request."""
        return [float(row[name]) for row in self.rows(build)]


def _shuffled(values: list[float], seed: int) -> list[float]:
    dealt = list(values)
    random.Random(seed).shuffle(dealt)
    return dealt


def research_tools() -> list[BaseTool]:
    """For the researcher."""
    notes = NotesRetriever(documents=passages(HERE / "notes"))

    @tool
    def search_notes(question: str) -> str:
        """Search the team's notes on running services; returns the best passages with their sources."""
        found = notes.invoke(question)
        return "\n\n".join(
            f"[{document.metadata['source']}: {document.metadata['heading']}]\n{document.page_content}"
            for document in found
        )

    return [search_notes]


def coding_tools() -> list[BaseTool]:
    """For the coder."""
    warehouse = Warehouse(HERE / "data" / "checkout-latency.csv")

    @tool
    def summarise(build: str) -> dict[str, Any]:
        """Summarise the measured requests of a build: count, rate, median, 95th percentile, mean wait."""
        durations = warehouse.column("duration_ms", build)
        seconds = warehouse.column("second", build)
        return {
            "build": build,
            "requests": len(durations),
            "per_second": round((len(seconds) - 1) / (max(seconds) - min(seconds)), 1),
            "median_ms": round(statistics.median(durations), 1),
            "p95_ms": round(percentile(durations, 95), 1),
            "mean_query_ms": round(statistics.mean(warehouse.column("query_ms", build)), 1),
            "mean_pool_wait_ms": round(statistics.mean(warehouse.column("pool_wait_ms", build)), 1),
        }

    @tool
    def run_python(program: str) -> str:
        """Run a small program and return its variable `result` as JSON.

        Available: column(name, build), percentile(values, share), mean, median, shuffled(values, seed), ceil, range,
        len, sum, min, max, round.
        """
        functions = {
            "column": warehouse.column, "percentile": percentile, "mean": statistics.mean, "median": statistics.median,
            "shuffled": _shuffled, "ceil": math.ceil, "range": range, "len": len, "sum": sum, "min": min, "max": max,
            "round": round,
        }  # fmt: skip
        return json.dumps(sandbox.run(program, functions))

    return [summarise, run_python]
