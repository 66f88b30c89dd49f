"""The example with three agents: what a newcomer sees first has to be right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ironspan.testing import FinishedSpan

from tests.support.outline import outline

DEMO = Path(__file__).parents[2] / "examples" / "agents"

TREE = """\
workflow investigate
  agent manager
    span model
      generation o4-mini
    span tools
      tool ask_researcher
        agent researcher
          span model
            generation gpt-4o-mini
          span tools
            tool search_notes
              retrieval NotesRetriever
          span model
            generation gpt-4o-mini
    span model
      generation o4-mini
    span tools
      tool ask_coder
        agent coder
          span model
            generation gpt-4o-mini
          span tools
            tool summarise [error]
            tool summarise
          span model
            generation gpt-4o-mini
          span tools
            tool summarise
          span tools
            tool run_python
          span model
            generation gpt-4o-mini
          span tools
            tool run_python
          span model
            generation gpt-4o-mini
    span model
      generation o4-mini
  workflow reviewers
    span check_evidence
      span ChatPromptTemplate
      generation gpt-4o-mini
      span StrOutputParser
    span check_safety
      span ChatPromptTemplate
      generation gpt-4o-mini
      span StrOutputParser
  span publish
    workflow write_note
      span ChatPromptTemplate
      generation gpt-4o-mini
      span StrOutputParser
"""


def read(path: Path) -> list[dict[str, Any]]:
    """The spans of a file of OTLP JSON lines."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += scope["spans"]
    return found


def finished(span: dict[str, Any]) -> FinishedSpan:
    """A span of the file, as the memory exporter would hold it."""
    attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}
    status = span.get("status", {})
    return FinishedSpan(
        name=span["name"],
        kind=attributes["ironspan.kind"],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId") or None,
        status="error" if status.get("code") == 2 else attributes.get("ironspan.status", "ok"),
        status_message=status.get("message", ""),
        attributes=attributes,
        start_ns=int(span["startTimeUnixNano"]),
    )


def sorted_lines(text: str) -> list[str]:
    return sorted(text.splitlines())


def test_demo_prints_the_tree_and_writes_the_same_trace_to_a_file(tmp_path):
    pytest.importorskip("langchain.agents")
    path = tmp_path / "trace.jsonl"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    run = subprocess.run(
        [sys.executable, str(DEMO / "main.py"), "--otlp-file", str(path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    spans = [finished(span) for span in read(path)]
    # The two tools that run side by side, and the two reviewers, may begin in either order.
    assert sorted_lines(outline(spans)) == sorted_lines(TREE)
    total = len(TREE.splitlines())
    assert f"spans: {total} created = {total} delivered + 0 rejected + 0 dropped + 0 pending" in run.stdout
    assert str(path) in run.stdout
    for name in ("manager", "researcher", "coder", "NotesRetriever", "run_python"):
        assert name in run.stdout
    root = next(span for span in spans if span.parent_id is None)
    assert all(span.attributes["session.id"] == "incident-4711" for span in spans)
    assert "397.3 ms" in root.attributes["output.value"]
    streamed = [span for span in spans if "gen_ai.response.time_to_first_chunk" in span.attributes]
    assert [span.kind for span in streamed] == ["generation"]


def test_sandbox_refuses_what_could_reach_out_or_never_end(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO))
    import sandbox

    assert sandbox.run("total = 0\nfor n in range(4):\n    total += n\nresult = total * 2", {"range": range}) == 12
    for program in (
        "import os",
        "result = ().__class__",
        "result = __import__",
        "result = [0] * 10",
        "result = 9 ** 9",
        "result = '%99999999d' % 1",
        "x = 1\nfor n in range(300):\n    x *= 99999\nresult = x",
        "items = [1]\nfor n in range(30):\n    items += items\nresult = items",
        "for a in range(1000):\n    for b in range(1000):\n        result = a",
        "result = range(1000000000)",
        "nothing = 1",
    ):
        with pytest.raises(sandbox.NotAllowedError):
            sandbox.run(program, {"range": range})


def test_notes_are_ranked_by_what_the_question_asks(monkeypatch):
    pytest.importorskip("langchain_core")
    monkeypatch.syspath_prepend(str(DEMO))
    from knowledge import NotesRetriever, passages

    notes = NotesRetriever(documents=passages(DEMO / "notes"), top_k=3)
    found = notes.invoke("When should a release be rolled back?")
    assert found[0].metadata["source"] == "release-decisions.md"
    scores = [document.metadata["score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)
    assert notes.invoke("zebra") == []
