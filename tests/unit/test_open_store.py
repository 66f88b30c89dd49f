"""What ``open_store`` and ``view`` read, from a store that programs have written."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import ironspan
import pytest

from tests.support.processes import run_python

PROGRAM = """
    import sys, ironspan
    ironspan.init(service="shop", store=sys.argv[1])
    for n in range(3):
        tags = ["even" if n % 2 == 0 else "odd"]
        with ironspan.scope(session=f"s-{n}", tags=tags), ironspan.workflow(f"run {n}") as run:
            with ironspan.agent("writer"):
                messages = [{"role": "user", "content": f"question {n} " + "long " * 100}]
                with ironspan.generation("gpt-4o", messages=messages) as call:
                    call.usage(input=10, output=4).cost(total=0.5).output(f"the answer is {n}")
                try:
                    with ironspan.tool("search", arguments={"n": n}):
                        if n == 2:
                            raise TimeoutError(f"no answer after {n} s")
                except TimeoutError:
                    pass
            run.output("done")
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store") / "traces.db"
    run_python(PROGRAM, str(store))
    return store


@pytest.fixture
def store(path: Path) -> ironspan.Store:
    return ironspan.open_store(path)


def test_traces(store: ironspan.Store) -> None:
    rows = store.traces()
    assert [row["name"] for row in rows] == ["run 2", "run 1", "run 0"]
    assert [(row["status"], row["errors"], row["spans"], row["agents"]) for row in rows] == [
        ("ok", 1, 4, ["writer"]),
        ("ok", 0, 4, ["writer"]),
        ("ok", 0, 4, ["writer"]),
    ]
    assert rows[0]["start"] > rows[1]["start"] > 1_700_000_000_000_000_000
    assert rows[0]["tokens"]["input"] == 10
    assert rows[0]["cost"] == 0.5
    assert [row["name"] for row in store.traces("errors:recovered")] == ["run 2"]
    assert [row["name"] for row in store.traces("session:s-1")] == ["run 1"]
    assert [row["name"] for row in store.traces("tag:even", limit=1)] == ["run 2"]
    assert [row["name"] for row in store.traces("-tag:even")] == ["run 1"]


def test_a_trace_and_a_span(store: ironspan.Store) -> None:
    [row] = store.traces("errors:any")
    trace = store.trace(row["id"][:8])
    spans = {span["name"]: span for span in trace["spans"]}
    assert [span["name"] for span in trace["spans"]] == ["run 2", "writer", "gpt-4o", "search"]
    assert spans["run 2"]["parent"] is None
    assert spans["search"]["parent"] == spans["writer"]["id"]
    assert (spans["search"]["status"], spans["search"]["error"], spans["search"]["own_error"]) == (
        "error",
        "no answer after 2 s",
        True,
    )
    assert (spans["gpt-4o"]["kind"], spans["gpt-4o"]["agent"], spans["gpt-4o"]["input_tokens"]) == (
        "generation",
        "writer",
        10,
    )
    call = store.span(row["id"], spans["gpt-4o"]["id"])
    [asked] = call["messages"]["input"]
    assert asked["parts"][0]["content"] == "question 2 " + "long " * 100
    assert call["messages"]["output"][0]["parts"][0]["content"] == "the answer is 2"
    failed = store.span(row["id"], spans["search"]["id"])
    assert failed["error"]["type"] == "TimeoutError"
    assert "Traceback" in failed["error"]["stack"]


def test_figures(store: ironspan.Store) -> None:
    [writer] = [row for row in store.stats(by="agent") if row["key"] == "writer"]
    assert (writer["count"], writer["cost"], writer["errors"]) == (3, 1.5, 0)
    assert {row["key"]: row["count"] for row in store.stats(by="tool")} == {"search": 3}
    [group] = store.errors()
    assert (group["type"], group["count"], group["agent"]) == ("TimeoutError", 1, "writer")
    assert len(store.sessions()) == 3
    assert {hit["name"] for hit in store.search("question 1")} == {"gpt-4o"}
    assert store.status()["spans"] == 12
    assert sum(1 for _ in store.spans()) == 12


def test_what_cannot_be_read_says_why(tmp_path: Path, store: ironspan.Store) -> None:
    with pytest.raises(ironspan.StoreError, match="there is no store at"):
        ironspan.open_store(tmp_path / "none.db")
    other = tmp_path / "other.db"
    other.write_text("dear diary " * 100)
    with pytest.raises(ironspan.StoreError, match="is not an ironspan store"):
        ironspan.open_store(other)
    with pytest.raises(ironspan.StoreError, match="figure"):
        store.traces("cost:>lots")
    with pytest.raises(ironspan.StoreError, match="there is no trace"):
        store.trace("ffffffff")
    with pytest.raises(ironspan.StoreError, match="by has to be one of"):
        store.stats(by="weather")
    with store:
        pass
    with pytest.raises(ironspan.StoreError, match="closed"):
        store.traces()


def test_the_page_of_a_program(path: Path) -> None:
    served = ironspan.view(path)
    assert served.url.startswith("http://127.0.0.1:")
    assert served.url in served._repr_html_()
    with urllib.request.urlopen(served.url, timeout=30) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"<html" in answer.read()
    address = served.url.split("#")[0].rstrip("/") + "/api/v1/traces"
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert [row["name"] for row in json.load(answer)["traces"]] == ["run 2", "run 1", "run 0"]
    stranger = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(stranger, timeout=30)
    served.stop()
    served.stop()
