"""`ironspan demo`: the trace of its agents, the process that joins it, the traces that it makes up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ironspan
import pytest
from ironspan.demo import _history, _model, _workflow
from ironspan.testing import FinishedSpan, MemoryExporter

from tests.support.outline import only, outline, own_name
from tests.support.versions import since

TREE = """\
workflow support_workflow
  agent manager
    agent coder
      generation fix_code
      generation write_code
      tool run_python
      tool run_python [error]
    agent researcher
      embedding embed_question
      generation summarise
      retrieval vector_search
      tool web_search
      tool web_search [error]
      tool web_search [error]
    evaluator faithfulness_check
    generation plan
    generation synthesise
"""


@pytest.fixture
def memory() -> MemoryExporter:
    exporter = MemoryExporter()
    ironspan.init("demo", exporters=[exporter])
    return exporter


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    environment["COLUMNS"] = "118"
    return subprocess.run(
        [sys.executable, "-m", "ironspan.demo", "--no-open", "--store", str(tmp_path / "demo.db"), *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def read(path: Path) -> list[tuple[str, FinishedSpan]]:
    """Service and span of each line of a file of OTLP JSON lines."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            (service,) = (
                pair["value"]["stringValue"]
                for pair in resource["resource"]["attributes"]
                if pair["key"] == "service.name"
            )
            found += [(service, finished(span)) for scope in resource["scopeSpans"] for span in scope["spans"]]
    return found


def finished(span: dict[str, Any]) -> FinishedSpan:
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
        end_ns=int(span["endTimeUnixNano"]),
    )


def test_one_run_is_one_trace_over_two_processes(tmp_path):
    path = tmp_path / "trace.jsonl"
    ran = demo(tmp_path, "--fast", "--file", str(path))
    assert ran.returncode == 0, ran.stderr
    services = read(path)
    spans = [span for _, span in services]
    assert outline(spans, sort=True) == TREE
    assert len({span.trace_id for span in spans}) == 1
    assert [span.name for service, span in services if service == "demo-judge"] == ["faithfulness_check"]
    assert Counter(service for service, _ in services) == {"demo": 16, "demo-judge": 1}
    assert all(span.attributes["session.id"] == "sess-demo" for service, span in services if service == "demo")
    assert "The judge gives it 0.92." in ran.stdout
    # The store has both processes' spans, and the tree is printed from it.
    assert ran.stdout.splitlines()[2].startswith("support_workflow  OK  3 errors recovered")
    assert "   17 spans   3 agents   " in ran.stdout
    # Without waiting it is chance which agent takes longer.
    assert "\ncritical path  " in ran.stdout
    assert json.loads(only(spans, "evaluator").attributes["output.value"])["score"] == 0.92
    missing = next(span for span in spans if span.kind == "tool" and span.status_message.startswith("No module"))
    assert missing.attributes["error.type"] == "ModuleNotFoundError"


def test_tokens_and_costs_are_those_of_the_messages(memory):
    result = _workflow.run(_workflow.Job(pace=_model.Pace(0)))
    assert result.error is None
    assert result.score == 0.92
    calls = [span for span in memory.spans if span.kind == "generation"]
    assert {span.name: span.attributes["gen_ai.request.model"] for span in calls} == {
        "plan": "gpt-4o",
        "write_code": "gpt-4o",
        "fix_code": "gpt-4o",
        "summarise": "gpt-4o-mini",
        "synthesise": "gpt-4o",
    }
    for span in calls:
        sent, told = (span.attributes[f"gen_ai.usage.{way}_tokens"] for way in ("input", "output"))
        into, out = _model.PRICES[span.attributes["gen_ai.request.model"]]
        assert span.attributes["gen_ai.usage.cost"] == pytest.approx((sent * into + told * out) / 1e6)
    counted = [
        (span.name, span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.usage.output_tokens"])
        for span in calls
    ]
    memory.clear()
    _workflow.run(_workflow.Job(pace=_model.Pace(0)))
    again = [
        (span.name, span.attributes["gen_ai.usage.input_tokens"], span.attributes["gen_ai.usage.output_tokens"])
        for span in memory.spans
        if span.kind == "generation"
    ]
    assert sorted(counted) == sorted(again)
    streamed = [span.name for span in memory.spans if "gen_ai.response.time_to_first_chunk" in span.attributes]
    assert streamed == ["synthesise"]


def test_the_search_finds_what_the_task_asks_for(memory):
    _workflow.run(_workflow.Job(pace=_model.Pace(0)))
    documents = json.loads(only(memory.spans, "retrieval").attributes["gen_ai.retrieval.documents"])
    assert len(documents) == 4
    assert {document["id"].partition("/")[0] for document in documents} <= {"sqlite", "postgres", "traces"}
    scores = [document["score"] for document in documents]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_fail_hard_fails_the_run_and_not_the_command(tmp_path):
    path = tmp_path / "trace.jsonl"
    ran = demo(tmp_path, "--fast", "--fail", "hard", "--file", str(path))
    assert ran.returncode == 0, ran.stderr
    assert "The agents failed: ModuleNotFoundError: No module named 'rich'" in ran.stdout
    spans = [span for _, span in read(path)]
    failed = sorted(own_name(span) for span in spans if span.status == "error")
    assert failed == ["coder", "manager", "run_python", "run_python", "support_workflow", "web_search", "web_search"]
    root = next(span for span in spans if span.parent_id is None)
    assert (root.status, root.status_message) == ("error", "No module named 'rich'")
    assert not [span for span in spans if span.kind == "evaluator"]


def test_history_is_of_the_last_day_and_varied(memory):
    now = time.time_ns()
    assert _history.history(60, until=now) == len(memory.spans)
    spans = memory.spans
    roots = [span for span in spans if span.parent_id is None]
    assert len(roots) == 60
    assert all(now - 86_400e9 <= span.start_ns <= span.end_ns <= now for span in spans)
    assert len({span.name for span in roots}) >= 4
    assert {span.status for span in roots} == {"ok", "error"}
    assert len({span.attributes["session.id"] for span in spans}) > 10
    assert len({span.attributes["gen_ai.request.model"] for span in spans if span.kind == "generation"}) >= 5
    failed = {span.trace_id for span in spans if span.status == "error"}
    assert failed - {span.trace_id for span in roots if span.status == "error"}, "some errors are recovered from"
    known = {span.span_id: span for span in spans}
    for span in spans:
        if span.parent_id is not None:
            above = known[span.parent_id]
            assert above.start_ns <= span.start_ns
            assert span.end_ns <= above.end_ns


def test_history_is_the_same_for_the_same_time(memory):
    until = 1_790_000_000_000_000_000
    traces = []
    for _ in range(2):
        _history.history(20, until=until)
        traces.append([(span.name, span.start_ns, span.end_ns, span.status_message) for span in memory.spans])
        memory.clear()
    assert traces[0] == traces[1]


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_a_big_trace_has_just_so_many_spans(memory, count):
    now = time.time_ns()
    trace = _history.big(count, until=now)
    spans = memory.spans
    assert len(spans) == count
    assert {span.trace_id for span in spans} == {trace}
    assert max(span.end_ns for span in spans) <= now
    assert [span.status for span in spans if span.parent_id is None] == ["ok"]


def test_made_up_traces_are_told(tmp_path):
    ran = demo(tmp_path, "--history", "20")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("20 traces with ")
    ran = demo(tmp_path, "--big", "50")
    assert ran.returncode == 0, ran.stderr
    assert "with 50 spans" in ran.stdout


def test_a_loop_goes_on_until_ctrl_c_and_what_it_ran_is_kept(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    store = tmp_path / "demo.db"
    words = [sys.executable, "-u", "-m", "ironspan.demo", "--loop", "--fast", "--no-open", "--store", str(store)]
    # In a group of its own: Ctrl-C reaches the processes that a tool has started as well.
    with subprocess.Popen(
        words,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as loop:
        watch = threading.Timer(100, loop.kill)
        watch.start()
        try:
            assert loop.stdout is not None
            ended = 0
            # Every fifth run fails.
            for line in loop.stdout:
                ended += line.startswith(("The judge gives it", "The agents failed"))
                if ended == 5:
                    break
            os.killpg(loop.pid, signal.SIGINT)
            _, told = loop.communicate(timeout=60)
        finally:
            watch.cancel()
            loop.kill()
    assert loop.returncode == 0, told
    assert "Traceback" not in told
    with ironspan.open_store(store) as opened:
        rows = [row for row in opened.traces(limit=None) if row["spans"] > 1]
    rows = rows[::-1][:5]
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "ok", "error"]
    assert len({row["input"] for row in rows}) == 3
    assert [row["session"] for row in rows] == ["sess-demo", "sess-demo-0", "sess-demo-0", "sess-demo-1", "sess-demo-1"]


def test_spans_go_to_a_collector_too(tmp_path):
    from tests.faults import receivers

    receiver = receivers.start("ok", detail="spans")
    try:
        ran = demo(tmp_path, "--fast", "--otlp", receiver.endpoint)
        assert ran.returncode == 0, ran.stderr
        assert "did not arrive" not in ran.stderr
        arrived = receiver.spans()
    finally:
        receiver.close()
    assert len(arrived) == 17
    with ironspan.open_store(tmp_path / "demo.db") as opened:
        assert {span["span_id"] for span in arrived} == {span["id"] for span in opened.spans()}


def test_wrong_usage_is_told(tmp_path):
    for arguments, told in [
        (["--history", "0"], "not between 1 and"),
        (["--history", "5", "--fail", "hard"], "leave --langchain"),
        (["--speed", "0"], "not between 0.01 and"),
        (["--otlp", "ftp://nowhere"], "ftp"),
    ]:
        ran = demo(tmp_path, *arguments)
        assert ran.returncode == 2, ran.stdout
        assert told in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "framework",
    [
        pytest.param("langchain", marks=since("langchain-core", "0.3.0", "the team is made of it")),
        pytest.param("llamaindex", marks=since("llama-index-core", "0.12.43", "an agent is a workflow of its own")),
    ],
)
def test_the_same_team_in_a_framework(tmp_path, framework):
    path = tmp_path / "trace.jsonl"
    ran = demo(tmp_path, "--fast", f"--{framework}", "--file", str(path))
    assert ran.returncode == 0, ran.stderr
    assert "The judge gives it 0.92." in ran.stdout
    spans = [span for _, span in read(path)]
    assert len({span.trace_id for span in spans}) == 1
    assert sorted(own_name(span) for span in spans if span.kind == "agent") == ["coder", "manager", "researcher"]
    failed = sorted(own_name(span) for span in spans if span.status == "error" and span.kind == "tool")
    assert failed == ["run_python", "web_search", "web_search"]
    assert [span.name for span in spans if span.kind == "evaluator"] == ["faithfulness_check"]
    assert next(span for span in spans if span.parent_id is None).status == "ok"


def test_a_framework_that_is_missing_is_told(tmp_path):
    # -S: no installed package but ironspan, which is put on the path by hand.
    package = str(Path(ironspan.__file__).parents[1])
    program = f"import sys; sys.path.append({package!r}); sys.modules['langchain_core'] = None; "
    program += "from ironspan.demo import main; sys.exit(main(['--langchain']))"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 2, ran.stderr
    assert "pip install langchain-core" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_importing_ironspan_imports_no_demo():
    program = "import sys, ironspan; sys.exit(any(name.startswith('ironspan.demo') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
