"""The page's pure functions, run where they are used: in the browser, from the files as they are served."""

# The page's own signs are compared with.
# ruff: noqa: RUF001

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.viewer.answers import skeleton


@pytest.fixture(scope="module")
def run(browser: Any, files: str) -> Iterator[Any]:
    """Evaluates the body of an async function in which `fmt`, `tree` and the other modules are there."""
    page = browser.new_page()
    # Any document of the same origin will do: the modules are imported by their path.
    page.goto(f"{files}/ui/icon.svg")
    modules = ("fmt", "tree", "story", "layout", "diff", "api", "state")

    def evaluate(body: str, argument: Any = None) -> Any:
        wanted = [name for name in modules if f"{name}." in body]
        imports = "".join(f"const {name} = await import('/ui/{name}.js');" for name in wanted)
        return page.evaluate(f"async (given) => {{ {imports} {body} }}", argument)

    yield evaluate
    page.close()


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "–"), (0, "0 s"), (850, "850 ns"), (999.6, "1.00 µs"), (12_345, "12.3 µs"), (90_000_000, "90.0 ms"),
        (240_000_000, "240 ms"), (999_600_000, "1.00 s"), (9_420_000_000, "9.42 s"), (59_960_000_000, "1 m 00 s"),
        (372_000_000_000, "6 m 12 s"), (3_599_600_000_000, "1 h 00 m"), (7_500_000_000_000, "2 h 05 m"),
        (273_600_000_000_000, "3 d 4 h"), (-1_500_000_000, "−1.50 s"),
    ],
)  # fmt: skip
def test_duration_has_three_digits(run: Any, ns: float | None, text: str) -> None:
    assert run("return fmt.duration(given)", ns) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "?"), (0, "$0"), (0.0000001, "<$0.000001"), (0.00034, "$0.00034"), (0.00199, "$0.00199"),
        (0.0211, "$0.0211"), (0.5, "$0.500"), (11.2, "$11.20"), (1234.5, "$1,235"),
    ],
)  # fmt: skip
def test_money_tells_small_calls_apart_and_never_shows_unknown_as_nothing(
    run: Any, usd: float | None, text: str
) -> None:
    assert run("return fmt.money(given)", usd) == text


def test_counts_bytes_and_shares(run: Any) -> None:
    assert run("return [7132, 801234, 4100000, null].map(fmt.short)") == ["7,132", "801k", "4.10M", "–"]
    assert run("return [512, 12400000, null].map(fmt.bytes)") == ["512 B", "12.4 MB", "–"]
    assert run("return [0, 0.0003, 0.065, 0.98, null].map(fmt.percent)") == ["0 %", "<0.1 %", "6.5 %", "98 %", "–"]
    assert run("return [fmt.change(112, 100), fmt.change(80, 100), fmt.change(100, 100), fmt.change(5, null)]") == [
        "+12 %", "−20 %", "±0 %", "",
    ]  # fmt: skip


def test_how_long_ago(run: Any) -> None:
    now = 1_790_000_000_000
    ages = [1, 30, 150, 7_300, 200_000]
    said = run(
        "return given.ages.map((s) => fmt.ago(fmt.toNs(given.now - s * 1000), given.now))", {"now": now, "ages": ages}
    )
    assert said == ["now", "30 s", "2 min", "2 h", "2 d"]


def test_nanoseconds_survive_as_text(run: Any) -> None:
    assert run("return fmt.toMs('1790000000123456789')") == pytest.approx(1_790_000_000_123.456, abs=0.01)


def test_marks_of_an_axis_are_multiples_of_one_two_or_five(run: Any) -> None:
    assert run("return fmt.ticks(0, 9.42, 7)") == [0, 2, 4, 6, 8]
    assert run("return fmt.ticks(0.3, 1.0, 7).map((t) => +t.toFixed(6))") == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert run("return fmt.ticks(5, 5, 7)") == []
    assert run("return [0, 2e9, 4e9].map((t) => fmt.tickLabel(t, 2e9))") == ["0", "2 s", "4 s"]
    assert run("return [100e9, 200e9].map((t) => fmt.tickLabel(t, 100e9))") == ["1:40", "3:20"]


def test_rows_follow_the_tree_and_fold_repeated_siblings(run: Any) -> None:
    given = skeleton(
        {"name": "root", "start": 0, "duration": 100},
        {"name": "search", "parent": 0, "start": 1, "duration": 5},
        {"name": "search", "parent": 0, "start": 10, "duration": 5},
        {"name": "search", "parent": 0, "start": 20, "duration": 5},
        {"name": "answer", "parent": 0, "start": 30, "duration": 5},
    )
    body = """
        const t = tree.buildTree(given);
        const times = (r) => r.type === 'fold' ? ' x' + r.members.length : '';
        const show = (rows) => rows.map((r) => '.'.repeat(r.depth) + tree.nameOf(t, r.i) + times(r));
        const open = new Set();
        const before = show(tree.flatten(t, new Set(), open));
        tree.reveal(t, 2, new Set(), open);
        return [before, show(tree.flatten(t, new Set(), open)), show(tree.flatten(t, new Set(['0']), open))];
    """
    folded, revealed, closed = run(body, given)
    assert folded == ["root", ".search x3", ".answer"]
    assert revealed == ["root", ".search x3", "..search", "..search", "..search", ".answer"]
    assert closed == ["root"]


def test_orphans_rings_and_own_parents_are_shown_once_each(run: Any) -> None:
    given = skeleton(
        {"name": "root", "start": 0, "duration": 10},
        {"name": "orphan", "parent": -2, "start": 1},
        {"name": "ring a", "parent": 3, "start": 2},
        {"name": "ring b", "parent": 2, "start": 3},
        {"name": "below the ring", "parent": 3, "start": 4},
        {"name": "its own parent", "parent": 5, "start": 5},
        {"name": "outside the columns", "parent": 99, "start": 6},
    )
    body = """
        const t = tree.buildTree(given);
        const rows = tree.flatten(t, new Set(), new Set());
        tree.criticalPath(t);
        tree.attempts(t);
        return rows.map((r) => r.type === 'missing' ? 'missing' : tree.nameOf(t, r.i));
    """
    rows = run(body, given)
    assert rows[:2] == ["root", "missing"]
    assert sorted(rows[2:]) == sorted(
        ["orphan", "ring a", "ring b", "below the ring", "its own parent", "outside the columns"]
    )


def test_a_chain_of_fifty_thousand_calls_needs_no_deep_stack(run: Any) -> None:
    body = """
        const n = 50000;
        const many = (v) => new Array(n).fill(v);
        const each = (f) => Array.from({ length: n }, (_, k) => f(k));
        const spans = { n, names: ['step'], id: many('0'), parent: each((k) => k - 1), name: many(0), kind: many(0),
          agent: many(-1), model: many(-1), start: each((k) => k), duration: each((k) => 2 * (n - k)), status: many(0),
          own_error: many(0), error: many(-1), input_tokens: many(null), output_tokens: many(null), cost: many(null),
          first_chunk: many(null), service: many(-1) };
        const t = tree.buildTree(spans);
        const rows = tree.flatten(t, new Set(), new Set());
        return [rows.length, t.depth[n - 1], t.below[0], tree.criticalPath(t).own.size];
    """
    assert run(body) == [50_000, 49_999, 49_999, 50_000]


def test_the_critical_path_is_what_the_end_waited_for(run: Any) -> None:
    given = skeleton(
        {"name": "root", "start": 0, "duration": 100},
        {"name": "short", "parent": 0, "start": 0, "duration": 30},
        {"name": "long", "parent": 0, "start": 0, "duration": 60},
        {"name": "last", "parent": 0, "start": 70, "duration": 25},
    )
    body = """
        const t = tree.buildTree(given);
        return Object.fromEntries([...tree.criticalPath(t).own].map(([i, v]) => [tree.nameOf(t, i), v]));
    """
    # 60 to 70 and 95 to 100 nothing below the root was at work; `short` was never waited for.
    assert run(body, given) == {"root": 15, "last": 25, "long": 60}


def test_work_that_outlives_its_parent_counts_only_within_it(run: Any) -> None:
    given = skeleton(
        {"name": "root", "start": 0, "duration": 50},
        {"name": "background", "parent": 0, "start": 40, "duration": 900},
        {"name": "early", "parent": 0, "start": -20, "duration": 30},
    )
    body = """
        const t = tree.buildTree(given);
        return [[...tree.criticalPath(t).own.values()].reduce((a, b) => a + b, 0), t.from, t.to];
    """
    total, begin, end = run(body, given)
    assert (begin, end) == (-20, 940)
    assert total == pytest.approx(50 + 20)  # the early child's time before its parent is its own


def test_attempts_are_failures_in_a_row_and_what_came_of_them(run: Any) -> None:
    given = skeleton(
        {"name": "agent", "kind": "agent", "start": 0, "duration": 100},
        {"name": "fetch", "kind": "tool", "parent": 0, "start": 1, "duration": 5, "error": "timeout"},
        {"name": "think", "kind": "generation", "parent": 0, "start": 7, "duration": 2},
        {"name": "fetch", "kind": "tool", "parent": 0, "start": 10, "duration": 5},
        {"name": "fetch", "kind": "tool", "parent": 0, "start": 20, "duration": 5},
        {"name": "post", "kind": "tool", "parent": 0, "start": 30, "duration": 9, "error": "refused"},
        {"name": "post", "kind": "tool", "parent": 0, "start": 32, "duration": 9},
    )
    body = """
        const t = tree.buildTree(given);
        const tries = tree.attempts(t);
        const told = story.story(t, tree.criticalPath(t), tries).map((f) => f.text);
        return [tries.groups.map((g) => [g.members, g.recovered, g.lost]), told];
    """
    groups, told = run(body, given)
    # The third `fetch` was no attempt: the second had worked. The two `post` ran side by side.
    assert groups == [[[1, 3], True, 5]]
    assert any("fetch" in text and "think → OK" in text for text in told), told
    assert any("1 error handled by the caller" in text for text in told), told


def test_tool_calls_lead_to_the_spans_that_they_caused(run: Any) -> None:
    given = skeleton(
        {"name": "manager", "kind": "agent", "start": 0, "duration": 100},
        {"name": "plan", "kind": "generation", "parent": 0, "start": 1, "duration": 5},
        {"name": "search", "kind": "tool", "parent": 0, "start": 10, "duration": 5},
        {"name": "search", "kind": "tool", "parent": 0, "start": 20, "duration": 5},
        {"name": "coder", "kind": "agent", "parent": 0, "start": 30, "duration": 5},
    )
    calls = [
        {"name": "search", "arguments": {}}, {"name": "search", "arguments": {}},
        {"name": "delegate", "arguments": json.dumps({"worker": "coder"})}, {"name": "unknown", "arguments": "{"},
    ]  # fmt: skip
    body = "return tree.spansOfCalls(tree.buildTree(given.skeleton), 1, given.calls)"
    assert run(body, {"skeleton": given, "calls": calls}) == [2, 3, 4, None]


def test_the_same_graph_is_laid_out_the_same_way_and_without_overlap(run: Any) -> None:
    body = """
        const boxes = ['user', 'a', 'b', 'c', 'tool'].map((id) => ({ id, width: 100, height: 40 }));
        const pairs = ['user a', 'a b', 'b a', 'a c', 'c tool', 'user tool'].map((pair) => pair.split(' '));
        const edges = pairs.map(([from, to]) => ({ from, to }));
        const one = layout.layout(boxes, edges);
        const two = layout.layout(boxes, edges);
        return [[...one.places], [...two.places], one.gates.size];
    """
    one, two, long_edges = run(body)
    assert one == two
    assert long_edges == 1  # user to tool passes the layers of a and c
    places = [place for _, place in one]
    for k, a in enumerate(places):
        for b in places[k + 1 :]:
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert apart or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_many_tools_of_one_agent_become_one_card(run: Any) -> None:
    body = """
        const sums = { calls: 1, errors: 0, duration: 5 };
        const node = (id, kind) => ({ id, kind, name: id, ...sums, tokens: null, cost: null, models: [] });
        const tools = Array.from({ length: 12 }, (_, k) => `tool ${k}`);
        const nodes = [node('agent', 'agent'), ...tools.map((t) => node(t, 'tool'))];
        const edges = tools.map((t) => ({ from: 'agent', to: t, ...sums, spans: ['x'], handoff: false }));
        const folded = layout.foldTools({ nodes, edges }, new Set());
        const open = layout.foldTools({ nodes, edges }, new Set(['agent']));
        return [folded.nodes.map((n) => n.name), folded.edges.map((e) => e.calls), open.nodes.length];
    """
    assert run(body) == [["agent", "12 tools"], [12], 13]


def test_differences_are_found_by_line_and_word(run: Any) -> None:
    rows = run("return diff.diffLines('one\\ntwo three\\nfour', 'one\\ntwo 3\\nfour\\nfive')")
    assert [(row["type"], "".join(word["text"] for word in row["words"])) for row in rows] == [
        ("same", "one"), ("gone", "two three"), ("new", "two 3"), ("same", "four"), ("new", "five"),
    ]  # fmt: skip
    assert [word["type"] for word in rows[1]["words"]] == ["same", "same", "gone"]


def test_events_arrive_whole_whatever_the_pieces(run: Any) -> None:
    stream = ': hello\n\nid: 7\nevent: trace\ndata: {"a":\ndata: 1}\n\nevent: end\r\ndata: [2]\r\n\r\ndata: no json\n\n'
    body = """
        const got = [];
        const feed = api.eventParser((event, data, id) => got.push([event, data, id]));
        for (const c of given) feed(c);
        return got;
    """
    assert run(body, stream) == [["trace", {"a": 1}, "7"], ["end", [2], "7"]]


def test_addresses_are_read_back_as_they_were_written(run: Any) -> None:
    query = {"q": 'name:"a b" agent:c&d', "since": "24h"}
    body = "return state.parseHash(state.href(['sessions', given.id], given.query))"
    assert run(body, {"id": "<b>/..?#&%", "query": query}) == {
        "page": "sessions",
        "path": ["<b>/..?#&%"],
        "query": query,
    }
