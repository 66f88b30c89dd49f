"""The command `ironspan` on a store that a program has written."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

#: Two traces: one that failed, one that recovered, with a name that would colour a terminal.
PROGRAM = """
import ironspan, sys
ironspan.init("shop", store=sys.argv[1], exporters=[])
BASE = 1_790_000_000_000_000_000
second = 1_000_000_000
with ironspan.scope(session="s-1", user="ada"):
    root = ironspan.workflow("answer", input="How?", tags=["prod"]).start(BASE)
    agent = ironspan.agent("helper", parent=root).start(BASE + second)
    call = ironspan.generation("gpt-4o", messages="How?", parent=agent).start(BASE + second)
    call.output("So.").usage(input=100, output=8).cost(total=0.002).end(BASE + 3 * second)
    for attempt in range(2):
        tool = ironspan.tool("look_up", arguments={"q": 1}, parent=agent).start(BASE + (3 + attempt) * second)
        if attempt == 0:
            tool.error(TimeoutError("no answer within 1 s"))
        tool.end(BASE + (4 + attempt) * second)
    agent.end(BASE + 6 * second)
    root.output("So.").end(BASE + 7 * second)
bad = ironspan.workflow("=cmd\\x1b[31m").start(BASE + 60 * second)
bad.error(ValueError("broken"))
bad.end(BASE + 61 * second)
assert ironspan.shutdown(30)
print(root.trace_id, bad.trace_id)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A store, the id of the trace that recovered and of the one that failed."""
    path = tmp_path_factory.mktemp("command") / "traces.db"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    good, bad = ran.stdout.split()
    return path, good, bad


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    return {**kept, **more}


def ironspan(store: Path, *words: str, answer: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ironspan", *words, "--store", str(store)],
        env=environment(**more),
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def whole(store: Path, trace: str) -> dict[str, Any]:
    """A trace with its texts in place of the places of texts, which follow from the order of rows."""
    (found,) = lines(ironspan(store, "show", trace, "--json"))
    spans = found["spans"]
    names = spans.pop("names")
    for column in ("name", "agent", "model", "error", "service"):
        spans[column] = [names[at] if at >= 0 else None for at in spans[column]]
    return found


def test_list_is_a_table_and_json(written):
    store, good, bad = written
    ran = ironspan(store, "list")
    assert ran.returncode == 0, ran.stderr
    title, first, second = ran.stdout.splitlines()
    assert title.split()[:4] == ["trace", "began", "name", "status"]
    assert first.startswith(bad[:7])
    assert "=cmd\\u{1b}[31m" in first
    assert "FAILED broken" in first
    assert second.startswith(good[:7])
    assert "OK, 1 recovered" in second
    assert "\x1b" not in ran.stdout
    assert ran.stdout.isascii()
    assert [trace["id"] for trace in lines(ironspan(store, "list", "--json"))] == [bad, good]
    assert [trace["id"] for trace in lines(ironspan(store, "list", "agent:helper", "--json"))] == [good]
    assert [trace["id"] for trace in lines(ironspan(store, "list", "-status:error", "--json"))] == [good]
    assert [trace["id"] for trace in lines(ironspan(store, "list", "-n", "1", "--json"))] == [bad]
    assert [trace["id"] for trace in lines(ironspan(store, "list", "--sort", "cost", "--json"))] == [good, bad]


def test_show_draws_the_tree_with_its_critical_path(written):
    store, good, _ = written
    ran = ironspan(store, "show", good[:9])
    assert ran.returncode == 0, ran.stderr
    text = ran.stdout.splitlines()
    assert text[0].startswith(
        "answer  OK  1 error recovered   7.00 s   $0.0020   108 tok   5 spans   1 agent   session s-1"
    )
    assert any("look_up x2 (1 failed: no answer within 1 s)" in line for line in text)
    assert "critical path  gpt-4o > look_up x2" in text
    assert text[-1] == f"open           ironspan view {good[:7]} --store {store}"
    coloured = ironspan(store, "show", good, "--color", "always")
    assert "\x1b[" in coloured.stdout
    assert "└─" in coloured.stdout
    whole = lines(ironspan(store, "show", good, "--json"))[0]
    assert whole["spans"]["n"] == 5
    contents = ironspan(store, "show", good, "--io")
    assert "user: How?" in contents.stdout
    assert "assistant: So." in contents.stdout
    assert ironspan(store, "show").stdout.startswith("=cmd")


def test_stats_and_errors(written):
    store, good, _ = written
    ran = ironspan(store, "stats", "--by", "tool", "--since", "0")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[1].split()[:4] == ["look_up", "2", "1", "(50.0"]
    (model,) = lines(ironspan(store, "stats", "--by", "model", "--since", "0", "--json"))
    assert (model["key"], model["count"], model["tokens"], model["cost"]) == ("gpt-4o", 1, 108, 0.002)
    ran = ironspan(store, "errors", "--since", "0")
    assert "TimeoutError: no answer within 1 s" in ran.stdout
    groups = lines(ironspan(store, "errors", "--since", "0", "--json", "agent:helper"))
    assert [(group["type"], group["recovered"]) for group in groups] == [("TimeoutError", 1)]
    assert groups[0]["example"]["trace"] == good


def test_exit_statuses(written, tmp_path):
    store, _, _ = written
    for status, words, told in [
        (1, ["list", "agent:nobody"], "no trace fits agent:nobody"),
        (1, ["show", "ffffffff"], "there is no trace"),
        (2, ["list", "weather:fine"], "hint:"),
        (2, ["list", "--since", "yesterday"], "write 15m, 24h, 7d"),
        (2, ["frobnicate"], "unrecognized subcommand"),
        (2, ["stats", "--by", "weather"], "possible values"),
        (2, ["purge"], "which traces?"),
        (2, ["--json", "demo"], "demo has to be the first word"),
    ]:
        ran = ironspan(store, *words)
        assert (ran.returncode, ran.stdout) == (status, ""), (words, ran.stdout, ran.stderr)
        assert told in ran.stderr, ran.stderr
    missing = ironspan(tmp_path / "none.db", "list")
    assert missing.returncode == 3
    assert "ironspan demo" in missing.stderr
    assert not (tmp_path / "none.db").exists()
    foreign = tmp_path / "text.db"
    foreign.write_text("dear diary " * 500)
    assert ironspan(foreign, "list").returncode == 3


def test_help_has_examples_and_completion_is_a_script(written):
    store, _, _ = written
    for words in [["--help"], ["list", "--help"], ["purge", "--help"]]:
        ran = ironspan(store, *words)
        assert ran.returncode == 0
        assert "exit status: 0 done" in ran.stdout
    assert "examples:" in ironspan(store, "--help").stdout
    for shell in ("bash", "zsh", "fish"):
        script = ironspan(store, "completion", shell).stdout
        assert all(word in script for word in ("ironspan", "parquet", "otlp"))


def test_a_reader_that_has_seen_enough_is_no_failure(written):
    store, _, _ = written
    script = f"{sys.executable} -m ironspan completion bash --store {store} | head -n 1"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment())
    assert (ran.returncode, ran.stderr) == (0, "")


def test_exports_survive_the_way_to_another_store(written, tmp_path):
    store, good, bad = written
    table = list(csv.DictReader(io.StringIO(ironspan(store, "export", "--format", "csv").stdout)))
    assert len(table) == 6
    assert {row["trace_id"] for row in table} == {good, bad}
    assert [row["name"] for row in table if row["trace_id"] == bad] == ["'=cmd\x1b[31m"]
    before = [whole(store, trace) for trace in (good, bad)]
    for form, name in [("jsonl", "a.jsonl"), ("otlp-json", "b.jsonl")]:
        path, copy = tmp_path / name, tmp_path / f"{name}.db"
        ran = ironspan(store, "export", "--format", form, "--output", str(path))
        assert ran.returncode == 0, ran.stderr
        assert path.stat().st_mode & 0o777 == 0o600
        assert ironspan(store, "export", "--format", form, "--output", str(path)).returncode == 3
        assert lines(ironspan(copy, "import", str(path), "--json")) == [{"spans": 6, "new": 6, "left_out": 0}]
        assert lines(ironspan(copy, "import", str(path), "--json")) == [{"spans": 6, "new": 0, "left_out": 0}]
        after = [whole(copy, trace) for trace in (good, bad)]
        assert after == before
        assert ironspan(copy, "doctor").returncode == 0
    page = ironspan(store, "export", f"id:{bad[:8]}", "--format", "html")
    assert page.stdout.startswith("<!doctype html>")
    assert "<script" not in page.stdout
    assert "a page holds one trace, and 2 fit" in ironspan(store, "export", "--format", "html").stderr
    wrong = ironspan(tmp_path / "c.db", "import", "-", answer="{broken")
    assert wrong.returncode == 2
    assert "is no JSON" in wrong.stderr


def test_scores_are_kept_and_replaced(written):
    store, good, _ = written
    for value in ("0.5", "0.75"):
        assert ironspan(store, "score", good[:7], "helpful", value).returncode == 0
    assert ironspan(store, "score", good[:7], "tone", "kind", "--comment", "why not").returncode == 0
    scores = lines(ironspan(store, "show", good, "--json"))[0]["scores"]
    assert sorted((score["name"], score["value"], score["label"], score["source"]) for score in scores) == [
        ("helpful", 0.75, None, "user"),
        ("tone", None, "kind", "user"),
    ]
    assert [trace["id"] for trace in lines(ironspan(store, "list", "score.helpful:>0.7", "--json"))] == [good]
    assert ironspan(store, "score", "last", "helpful", "nan").returncode == 2


def test_doctor_looks_at_everything_and_finds_what_is_wrong(written, tmp_path):
    store, _, _ = written
    ran = ironspan(store, "doctor", OTEL_SERVICE_NAME="x")
    assert ran.returncode == 0, ran.stdout
    for what in (
        "SQLite 3.",
        "2 traces, 6 spans",
        "journal",
        "integrity",
        "agree with the spans of 2 traces",
        "OTEL_SERVICE_NAME=x",
    ):
        assert what in ran.stdout, ran.stdout
    checks = lines(ironspan(store, "doctor", "--json"))
    assert {check["finding"] for check in checks} <= {"ok", "notice"}
    copy = tmp_path / "copy.db"
    ironspan(store, "export", "--output", str(tmp_path / "x.jsonl"))
    ironspan(copy, "import", str(tmp_path / "x.jsonl"))
    copy.chmod(0o644)
    ran = ironspan(copy, "doctor")
    assert ran.returncode == 1
    assert "others can read prompts" in ran.stdout
    assert ironspan(tmp_path / "none.db", "doctor").returncode == 3


def test_purge_deletes_what_it_says_and_asks_before(written, tmp_path):
    store, good, bad = written
    copy = tmp_path / "copy.db"
    ironspan(store, "export", "--output", str(tmp_path / "x.jsonl"))
    ironspan(copy, "import", str(tmp_path / "x.jsonl"))
    dry = ironspan(copy, "purge", "status:error", "--dry-run")
    assert dry.returncode == 0
    assert dry.stdout.startswith("would delete 1 trace with 1 span")
    refused = ironspan(copy, "purge", "status:error", answer="n\n")
    assert refused.returncode == 1
    assert "nothing was deleted" in refused.stderr
    assert len(lines(ironspan(copy, "list", "--json"))) == 2
    assert ironspan(copy, "purge", "status:error", answer="y\n").returncode == 0
    assert [trace["id"] for trace in lines(ironspan(copy, "list", "--json"))] == [good]
    assert ironspan(copy, "doctor").returncode == 0
    assert lines(ironspan(copy, "purge", "--all", "--yes", "--json")) == [{"traces": 1, "spans": 5, "deleted": True}]
    assert ironspan(copy, "list").returncode == 1
    assert bad


LIVE = """
import ironspan, sys
ironspan.init("shop", store=sys.argv[1], exporters=[])
sys.stdin.readline()
with ironspan.workflow("live"), ironspan.agent("worker"), ironspan.tool("dig"):
    pass
assert ironspan.shutdown(30)
"""


def test_tail_tells_what_ends_and_ctrl_c_ends_it(written, tmp_path):
    store, _, _ = written
    copy = tmp_path / "copy.db"
    ironspan(store, "export", "--output", str(tmp_path / "x.jsonl"))
    ironspan(copy, "import", str(tmp_path / "x.jsonl"))
    program = subprocess.Popen(
        [sys.executable, "-c", LIVE, str(copy)], env=environment(), stdin=subprocess.PIPE, text=True
    )
    tail = subprocess.Popen(
        [sys.executable, "-m", "ironspan", "tail", "--json", "--store", str(copy)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    assert tail.stdout is not None
    # What is there before the first look is old: the program is asked until something comes.
    deadline = time.monotonic() + 30
    time.sleep(1)
    program.communicate("\n", timeout=30)
    events = []
    while time.monotonic() < deadline:
        event = json.loads(tail.stdout.readline())
        events.append((event["event"], event["data"]["name"]))
        if event["event"] == "trace":
            break
    tail.send_signal(signal.SIGINT)
    assert tail.wait(timeout=30) == -signal.SIGINT
    tail.stdout.close()
    assert ("end", "dig") in events
    assert events[-1] == ("trace", "live")


def test_importing_ironspan_imports_no_command():
    program = "import sys, ironspan; sys.exit('ironspan.__main__' in sys.modules or 'argparse' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_view_serves_the_page_and_ctrl_c_ends_it(written):
    store, good, _ = written
    view = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ironspan",
            "view",
            good[:7],
            "--no-open",
            "--json",
            "--port",
            "0",
            "--store",
            str(store),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert view.stdout is not None
    told = json.loads(view.stdout.readline())
    page, _, fragment = told["url"].partition("#")
    assert fragment == f"/t/{good}"
    with urllib.request.urlopen(f"{page}api/v1/traces/{good[:7]}", timeout=30) as answer:
        assert json.load(answer)["trace"]["name"] == "answer"
    view.send_signal(signal.SIGINT)
    assert view.wait(timeout=30) == -signal.SIGINT
    view.stdout.close()


def test_view_is_for_this_machine_unless_a_token_is_given(written, tmp_path):
    store, _, _ = written
    weak = ironspan(store, "view", "--no-open", "--host", "0.0.0.0", "--port", "0", "--token", "short")
    assert (weak.returncode, weak.stdout) == (2, "")
    assert "a token needs" in weak.stderr
    assert ironspan(tmp_path / "none.db", "view", "last", "--no-open").returncode == 3
