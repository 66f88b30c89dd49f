"""Every figure of the store against the same figure computed from its exported lines, by code that shares nothing."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import ironspan
import pytest

from tests.store import figures
from tests.store.conftest import History, query
from tests.store.conftest import ironspan as command
from tests.viewer.serving import viewing

Ask = Callable[..., Any]
ALL = (*figures.SPAN_KEYS, *figures.TRACE_KEYS)
MINUTES_5 = 300_000_000_000
#: What a percentile of a sketch may be off by (docs/viewer-api.md).
NEAR = 0.0101


def same(found: Any, expected: Any) -> bool:
    """Equal; money within what the order of additions makes of it."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, (float, int)) and math.isclose(found, expected, rel_tol=1e-9)
    return bool(found == expected)


def assert_same(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """Of what is in only one of them, or differs, the first few are told."""
    differ = {
        key: (found.get(key), expected.get(key))
        for key in [*expected, *(key for key in found if key not in expected)]
        if key not in found or key not in expected or not same(found[key], expected[key])
    }
    assert not differ, f"{len(differ)} of {len(expected)} differ (found, expected): {dict(list(differ.items())[:3])}"


def expected_rows(traces: list[figures.Trace], spans: list[Any], by: str) -> dict[str, dict[str, Any]]:
    sums = figures.by_span(spans, by) if by in figures.SPAN_KEYS else figures.by_trace(traces, by)
    return {key: found.row(key) for key, found in sums.items()}


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def keyed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: without(row, "before") for row in rows}


@pytest.fixture(scope="module")
def store(history: History) -> Iterator[ironspan.Store]:
    with ironspan.open_store(history.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def ask(history: History) -> Iterator[Ask]:
    """Asks the page's server."""
    with viewing(history.path) as url:

        def asked(path: str, **parameters: Any) -> Any:
            words = urllib.parse.urlencode({key: value for key, value in parameters.items() if value is not None})
            with urllib.request.urlopen(f"{url}/api/v1{path}?{words}", timeout=30) as answer:
                return json.load(answer)

        yield asked


def test_the_history_is_varied(history: History) -> None:
    """What is not in it is not compared."""
    spans = history.spans
    assert {span["kind"] for span in spans} >= {"workflow", "agent", "tool", "span", *figures.CALLS}
    assert {span["status"] for span in spans} == {"ok", "error", "cancelled"}
    assert {span["service"] for span in spans} == {"demo", "shop", "billing"}
    assert any(trace.root["parent"] is not None for trace in history.traces)
    assert any(len(trace.own_errors) < sum(map(figures.failed, trace.spans)) for trace in history.traces)
    only_input = [t for t in history.traces if t.tokens["input"] is not None and t.tokens["output"] is None]
    assert any(span["usage"]["output"] for trace in only_input for span in trace.spans)


@pytest.mark.parametrize("by", ALL)
def test_figures_by(history: History, store: ironspan.Store, ask: Ask, by: str) -> None:
    expected = expected_rows(history.traces, history.spans, by)
    assert len(expected) > 3 or by == "none"
    assert_same(keyed(store.stats(by)), expected)
    answer = ask("/metrics/table", by=by, since=1)
    assert not answer["sketched"]
    assert_same(keyed(answer["rows"]), expected)
    counts = [(-row["count"], row["key"].encode()) for row in answer["rows"]]
    assert counts == sorted(counts)
    if by != "none":
        words = ("stats", "--by", by, "--json", "--since", "0", "-n", "500")
        assert_same(keyed([json.loads(line) for line in command(history.path, *words).splitlines()]), expected)


@pytest.mark.parametrize("by", ALL)
def test_figures_of_a_window_and_of_the_one_before(history: History, store: ironspan.Store, by: str) -> None:
    since, until = history.middle, history.middle + figures_length(history)
    earlier = since - (until - since)
    expected = expected_rows(history.between(since, until), history.spans_between(since, until), by)
    before = expected_rows(history.between(earlier, since), history.spans_between(earlier, since), by)
    rows = store.stats(by, since=since, until=until)
    assert_same(keyed(rows), expected)
    nothing = without(figures.Sum().row(""), "key")
    told = {row["key"]: row["before"] for row in rows}
    assert_same(told, {key: without(before[key], "key") if key in before else nothing for key in expected})


def figures_length(history: History) -> int:
    return (history.middle - history.begin) // 8


@pytest.mark.parametrize(
    ("filter", "fits"),
    [
        ("session:s-1", lambda trace: trace.told("session.id") == "s-1"),
        ("-user:ada service:shop,demo", lambda t: t.told("user.id") != "ada" and t.spans[0]["service"] != "billing"),
        ("errors:recovered", lambda trace: trace.own_errors and not figures.failed(trace.root)),
        ("status:error", lambda trace: figures.failed(trace.root)),
        ("cost:>0.05", lambda trace: (trace.cost or 0) > 0.05),
        ("tokens:>4000", lambda t: sum(t.tokens[way] or 0 for way in ("input", "output")) > 4_000),
        ("dur:<=2s", lambda trace: trace.duration <= 2_000_000_000),
        ("tag:a", lambda trace: "a" in trace.row()["tags"]),
    ],
)
def test_figures_of_the_traces_that_a_filter_leaves(
    history: History, store: ironspan.Store, filter: str, fits: Callable[[figures.Trace], Any]
) -> None:
    left = [trace for trace in history.traces if fits(trace)]
    assert 3 < len(left) < len(history.traces) - 3
    assert {row["id"] for row in store.traces(filter, limit=None)} == {trace.id for trace in left}
    assert_same(keyed(store.stats("user", filter)), expected_rows(left, [], "user"))


def test_every_trace_in_the_list(history: History, store: ironspan.Store) -> None:
    rows = store.traces(limit=None)
    texts = ("service", "environment", "input", "output", "error", "scores")
    expected = {trace.id: trace.row() for trace in history.traces}
    assert_same({row["id"]: without(row, *texts) for row in rows}, expected)
    for sort, value in {
        "start": lambda row: row["start"],
        "duration": lambda row: row["duration"],
        "errors": lambda row: row["errors"],
        "cost": lambda row: -1 if row["cost"] is None else row["cost"],
        "tokens": lambda row: (row["tokens"]["input"] or 0) + (row["tokens"]["output"] or 0),
    }.items():
        order = [value(expected[row["id"]]) for row in store.traces(sort=sort, limit=None)]
        assert order == sorted(order, reverse=True), sort


def test_every_session(history: History, store: ironspan.Store) -> None:
    expected = {}
    for name, found in figures.by_trace(history.traces, "session").items():
        traces = [trace for trace in history.traces if trace.told("session.id") == name]
        expected[name] = {
            "traces": found.count,
            "errors": sum(len(trace.own_errors) for trace in traces),
            "start": min(trace.start for trace in traces),
            "end": max(trace.start + trace.duration for trace in traces),
            "duration": sum(found.durations),
            "tokens": found.tokens,
            "cost": found.cost,
        }
    rows = store.sessions(limit=None)
    assert_same({row["session"]: without(row, "session", "user", "first") for row in rows}, expected)


@pytest.mark.parametrize(
    ("metric", "by"),
    [
        (metric, by)
        for metric in ("latency", "errors", "tokens", "cost", "count", "first_chunk")
        for by in ("none", "agent", "model", "tool")
        # Tools have no first chunk.
        if (metric, by) != ("first_chunk", "tool")
    ],
)
def test_charts(history: History, ask: Ask, metric: str, by: str) -> None:
    since, step = history.begin, 600
    answer = ask("/metrics/series", metric=metric, by=by, since=since, step=step)
    assert answer["step"] == step * 10**9
    assert int(answer["start"]) == since // answer["step"] * answer["step"]
    expected = figures.series(history.traces, metric, by, since, answer["step"])
    assert sum(map(len, expected.values())) > 20 or (metric, by) in {("tokens", "tool"), ("cost", "tool")}
    found = {line["key"]: line["points"] for line in answer["series"] if line["points"]}
    assert_same(found, expected)


def test_the_strip_and_the_facets(history: History, ask: Ask) -> None:
    answer = ask("/traces", facets=1, limit=1)
    (total,) = figures.by_trace(history.traces, "none").values()
    row = total.row("")
    strip = answer["strip"]
    assert same(without(strip, "buckets"), without(row, "key", "tokens"))
    assert [sum(column) for column in list(zip(*strip["buckets"], strict=True))[1:]] == [row["count"], row["errors"]]
    expected: dict[str, dict[str, int]] = {"agent": {}, "model": {}, "status": {}, "tag": {}}
    for trace in history.traces:
        told = trace.row()
        models = {span["model"] for span in trace.spans if span["model"]}
        for facet, values in (("agent", told["agents"]), ("model", models), ("tag", told["tags"])):
            for value in values:
                expected[facet][value] = expected[facet].get(value, 0) + 1
        expected["status"][told["status"]] = expected["status"].get(told["status"], 0) + 1
    for facet, counts in expected.items():
        assert len(counts) <= 20, "a facet has 20 values at most"
        assert_same(dict(answer["facets"][facet]), counts)


def test_who_calls_whom(history: History, ask: Ask) -> None:
    nodes, edges = figures.graph(history.traces)
    answer = ask("/graph")
    found = {
        node["id"]: {**without(node, "id", "kind", "name"), "models": dict(node["models"])} for node in answer["nodes"]
    }
    assert_same(found, nodes)
    assert not any(edge["handoff"] for edge in answer["edges"])
    assert_same(
        {(edge["from"], edge["to"]): without(edge, "from", "to", "spans", "handoff") for edge in answer["edges"]}, edges
    )


def test_groups_of_errors(history: History, store: ironspan.Store) -> None:
    def template(message: str) -> str:
        return re.sub(r"'[^']*'|\d+", "?", message)

    expected = figures.error_groups(history.traces, template)
    rows = store.errors()
    assert [row["count"] for row in rows] == sorted((group["count"] for group in expected.values()), reverse=True)
    found = {}
    for row in rows:
        key = (row["agent"], row["name"], row["type"], template(row["message"]))
        assert key not in found
        found[key] = {figure: row[figure] for figure in ("count", "traces", "recovered", "first", "last")}
        assert sum(row["trend"]) == row["count"]
    assert_same(found, expected)


def bins(sketch: bytes) -> dict[int, int]:
    """Counts by bin: for each its distance from the one before and the count, as variable-length integers."""
    numbers, number, shift = [], 0, 0
    for byte in sketch:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    found, at = {}, 0
    for step, count in zip(numbers[::2], numbers[1::2], strict=True):
        at += step
        found[at] = count
    return found


def test_roll_ups(history: History, ask: Ask) -> None:
    """The server keeps them; each row is the sum of the spans of five minutes that are alike."""
    last = "SELECT (SELECT max(id) FROM span), (SELECT value FROM meta WHERE key = 'rollup_span')"
    deadline = time.monotonic() + 60
    while len(set(map(int, query(history.path, last)[0]))) > 1:
        assert time.monotonic() < deadline, "the roll-ups do not come"
        time.sleep(0.1)
    expected: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for span in history.spans:
        key = (span["start"] // MINUTES_5, span["agent"] or "", span["kind"], span["model"] or "", span["name"])
        expected.setdefault(key, []).append(span)
    kinds = (
        "span",
        "workflow",
        "agent",
        "generation",
        "retrieval",
        "embedding",
        "rerank",
        "tool",
        "evaluator",
        "guardrail",
    )
    columns = "bucket, agent, kind, model, name, spans, errors, input_tokens, output_tokens, cost, duration_ns, sketch"
    seen = set()
    for bucket, agent, kind, model, name, *sums, sketch in query(history.path, f"SELECT {columns} FROM rollup"):
        key = (bucket, agent, kinds[kind], model, name)
        spans = expected[key]
        seen.add(key)
        usage = [sum(span["usage"][way] or 0 for span in spans) for way in ("input", "output")]
        costs = sum((span["cost"] or 0.0 for span in spans), 0.0)
        durations = sorted(span["duration"] for span in spans)
        assert same(sums, [len(spans), sum(map(figures.failed, spans)), *usage, costs, sum(durations)]), key
        counts = bins(bytes.fromhex(sketch))
        # Of each duration there is one in the bin that holds it: bins grow by 2 %, the first holds a microsecond.
        places = [place for place, count in sorted(counts.items()) for _ in range(count)]
        assert len(places) == len(durations)
        for place, duration in zip(places, durations, strict=True):
            assert abs(1_000 * 1.02 ** (place + 0.5) / max(duration, 1_000) - 1) <= NEAR, key
    assert seen == set(expected)
