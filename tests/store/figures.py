"""What a store should answer, computed from the lines of `ironspan export`: plain Python, nothing of ironspan's own.

The meaning of each figure is that of docs/viewer-api.md and docs/store.md. A figure that is not known is None.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CALLS", "Sum", "Trace", "by_span", "by_trace", "error_groups", "graph", "percentile", "read", "series"]

Span = dict[str, Any]
#: Kinds that call a model: their tokens and costs count, each once.
CALLS = ("generation", "embedding", "rerank")
USER = "user"


def percentile(values: Iterable[int], percent: int) -> int | None:
    """The smallest value that at least `percent` of 100 do not exceed: nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def known_sum(values: Iterable[Any]) -> Any:
    """The sum of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def tokens_of(span: Span) -> int | None:
    return known_sum((span["usage"]["input"], span["usage"]["output"]))


def is_call(span: Span) -> bool:
    return span["kind"] in CALLS


def failed(span: Span) -> bool:
    return bool(span["status"] == "error")


@dataclass
class Trace:
    """The spans of a trace, and what is true of it as a whole."""

    id: str
    spans: list[Span] = field(default_factory=list)

    @property
    def start(self) -> int:
        return min(span["start"] for span in self.spans)

    @property
    def duration(self) -> int:
        return max(span["start"] + span["duration"] for span in self.spans) - self.start

    @property
    def root(self) -> Span:
        """The span without a parent; without one here, the only one whose parent is not here."""
        here = {span["id"] for span in self.spans}
        (found,) = [span for span in self.spans if span["parent"] is None] or [
            span for span in self.spans if span["parent"] not in here
        ]
        return found

    @property
    def own_errors(self) -> list[Span]:
        """Spans that failed, and no child of theirs did."""
        parents = {span["parent"] for span in self.spans if failed(span)}
        return [span for span in self.spans if failed(span) and span["id"] not in parents]

    def told(self, attribute: str) -> str | None:
        found = {span["attributes"].get(attribute) for span in self.spans} - {None}
        assert len(found) <= 1, found
        return found.pop() if found else None

    @property
    def tokens(self) -> dict[str, int | None]:
        """Of the model calls; where none tells any, the most that another span reports."""
        names = ("input", "output", "cached", "reasoning")
        calls = {name: known_sum(span["usage"][name] for span in self.spans if is_call(span)) for name in names}
        if calls["input"] is None and calls["output"] is None:
            for name in ("input", "output"):
                reported = [span["usage"][name] for span in self.spans if not is_call(span)]
                calls[name] = max((count for count in reported if count is not None), default=None)
        return calls

    @property
    def cost(self) -> float | None:
        of_calls = known_sum(span["cost"] for span in self.spans if is_call(span))
        reported = [span["cost"] for span in self.spans if not is_call(span) and span["cost"] is not None]
        return of_calls if of_calls is not None else max(reported, default=None)

    def row(self) -> dict[str, Any]:
        """As a list of traces has it, but for texts."""
        first_of: dict[str, int] = {}
        for span in self.spans:
            if span["agent"]:
                first_of[span["agent"]] = min(span["start"], first_of.get(span["agent"], span["start"]))
        unpriced = [s for s in self.spans if is_call(s) and s["cost"] is None and tokens_of(s) is not None]
        kinds = Counter(span["kind"] for span in self.spans)
        return {
            "id": self.id,
            "name": self.root["name"],
            "status": self.root["status"],
            "errors": len(self.own_errors),
            "start": self.start,
            "duration": self.duration,
            "spans": len(self.spans),
            "open": 0,
            "agents": sorted(first_of, key=lambda agent: (first_of[agent], agent.encode())),
            "generations": kinds["generation"],
            "tools": kinds["tool"],
            "tokens": self.tokens,
            "cost": self.cost,
            "unpriced": len(unpriced),
            "session": self.told("session.id"),
            "user": self.told("user.id"),
            "tags": sorted({tag for span in self.spans for tag in span["attributes"].get("ironspan.tags", ())}),
        }


def read(path: Path) -> list[Trace]:
    """The traces of an export in JSON lines, in its order."""
    traces: dict[str, Trace] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        span = json.loads(line)
        span["start"] = int(span["start"])
        traces.setdefault(span["trace"], Trace(span["trace"])).spans.append(span)
    return list(traces.values())


@dataclass
class Sum:
    """What has been added up for one key, or for one point of a line."""

    count: int = 0
    errors: int = 0
    durations: list[int] = field(default_factory=list)
    tokens: int | None = None
    cost: float | None = None

    def add(self, counts: bool, error: bool, duration: int, tokens: int | None, cost: float | None) -> None:
        if counts:
            self.count += 1
            self.errors += error
            self.durations.append(duration)
        self.tokens = known_sum((self.tokens, tokens))
        self.cost = known_sum((self.cost, cost))

    def row(self, key: str) -> dict[str, Any]:
        percentiles = {f"p{percent}": percentile(self.durations, percent) for percent in (50, 95, 99)}
        return {
            "key": key,
            "count": self.count,
            "errors": self.errors,
            **percentiles,
            "tokens": self.tokens,
            "cost": self.cost,
        }

    def point(self, metric: str) -> Any:
        """The value of a point of a line; None where there is none."""
        if metric in ("latency", "first_chunk"):
            return {f"p{p}": percentile(self.durations, p) for p in (50, 95, 99)} if self.count else None
        return getattr(self, metric)


#: What counts by what: the key of a span, None where it does not count; and whether it is one of those counted, or only
#: brings tokens and cost to its key.
SPAN_KEYS: dict[str, Callable[[Span], tuple[str | None, bool]]] = {
    "agent": lambda s: (s["agent"] if is_call(s) or s["kind"] == "agent" else None, s["kind"] == "agent"),
    "model": lambda s: (s["model"] if is_call(s) else None, True),
    "tool": lambda s: (s["name"] if s["kind"] == "tool" else None, True),
    "name": lambda s: (s["name"], True),
    "kind": lambda s: (s["kind"], True),
}
TRACE_KEYS: dict[str, Callable[[Trace], str | None]] = {
    "session": lambda trace: trace.told("session.id"),
    "user": lambda trace: trace.told("user.id"),
    "none": lambda trace: "",
}


def by_span(spans: Iterable[Span], by: str) -> dict[str, Sum]:
    sums: dict[str, Sum] = defaultdict(Sum)
    for span in spans:
        key, counts = SPAN_KEYS[by](span)
        if key is not None:
            tokens, cost = (tokens_of(span), span["cost"]) if is_call(span) else (None, None)
            sums[key].add(counts, failed(span), span["duration"], tokens, cost)
    return sums


def by_trace(traces: Iterable[Trace], by: str) -> dict[str, Sum]:
    sums: dict[str, Sum] = defaultdict(Sum)
    for trace in traces:
        key = TRACE_KEYS[by](trace)
        if key is not None:
            tokens = known_sum((trace.tokens["input"], trace.tokens["output"]))
            sums[key].add(True, failed(trace.root), trace.duration, tokens, trace.cost)
    return sums


def series(traces: Iterable[Trace], metric: str, by: str, since: int, step: int) -> dict[str, list[list[Any]]]:
    """The lines of a chart: `[steps after the beginning, value, count]` for each step that has something."""
    traces = list(traces)
    begin = since // step * step
    parts: dict[int, list[Any]] = defaultdict(list)
    items = traces if by == "none" else [span for trace in traces for span in trace.spans]
    if metric == "first_chunk":
        items = [span for trace in traces for span in trace.spans if span["kind"] == "generation"]
    for item in items:
        start = item.start if isinstance(item, Trace) else item["start"]
        parts[(start - begin) // step].append(item)
    lines: dict[str, list[list[Any]]] = defaultdict(list)
    for at, inside in sorted(parts.items()):
        if metric == "first_chunk":
            sums = first_chunks(inside, by)
        else:
            sums = by_trace(inside, by) if by == "none" else by_span(inside, by)
        for key, found in sums.items():
            value = found.point(metric)
            if value is not None:
                lines[key].append([at, value, found.count])
    return lines


def first_chunks(spans: Iterable[Span], by: str) -> dict[str, Sum]:
    sums: dict[str, Sum] = defaultdict(Sum)
    for span in spans:
        if span["first_chunk"] is not None:
            key = "" if by == "none" else span[by] or ""
            sums[key].add(True, False, span["first_chunk"], None, None)
    return sums


def graph(traces: Iterable[Trace]) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """Nodes by id and edges by their ends, over all traces: a window knows no handoffs."""

    def agent(name: str | None) -> str:
        return f"agent:{name}" if name else USER

    nodes: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"calls": 0, "errors": 0, "duration": 0, "tokens": None, "cost": None, "models": Counter()}
    )
    edges: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: {"calls": 0, "errors": 0, "duration": 0})
    for trace in traces:
        known = {span["id"]: span for span in trace.spans}
        for span in trace.spans:
            if is_call(span):
                node = nodes[agent(span["agent"])]
                node["tokens"] = known_sum((node["tokens"], tokens_of(span)))
                node["cost"] = known_sum((node["cost"], span["cost"]))
                if span["model"]:
                    node["models"][span["model"]] += 1
                continue
            if span["kind"] == "tool":
                ends = (agent(span["agent"]), f"tool:{span['name']}")
            elif span["kind"] == "agent":
                above = known.get(span["parent"])
                ends = (agent(above["agent"] if above else None), agent(span["agent"]))
            else:
                continue
            # The caller is a node, whatever it does itself.
            nodes[ends[0]]["calls"] += 0
            for figures in (nodes[ends[1]], edges[ends]):
                figures["calls"] += 1
                figures["errors"] += failed(span)
                figures["duration"] += span["duration"]
    return nodes, edges


def error_groups(traces: Iterable[Trace], template: Callable[[str], str]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Errors by agent, name, class and message; `template` takes what varies out of a message."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for trace in traces:
        for span in trace.own_errors:
            error = span["error"]
            key = (span["agent"] or "", span["name"], error["type"] or "", template(error["message"]))
            group = groups.setdefault(key, {"starts": [], "traces": set(), "recovered": set()})
            group["starts"].append(span["start"])
            group["traces"].add(trace.id)
            if not failed(trace.root):
                group["recovered"].add(trace.id)
    return {
        key: {
            "count": len(group["starts"]),
            "traces": len(group["traces"]),
            "recovered": len(group["recovered"]),
            "first": min(group["starts"]),
            "last": max(group["starts"]),
        }
        for key, group in groups.items()
    }
