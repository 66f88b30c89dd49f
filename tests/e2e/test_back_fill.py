"""`ironspan export --otlp` against the real collector: what it decodes is what the store holds."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import ironspan

from tests.support.collector import running_collector
from tests.support.processes import clean_environment, run_python

PROGRAM = """
import sys, ironspan
ironspan.init("shop", store=sys.argv[1], exporters=[], resource={"team": "a"})
for n in range(300):
    with ironspan.workflow(f"run {n}") as run:
        run.set("app.blob", b"\\x00\\xff").set("app.list", [1.5, 2.0])
        with ironspan.tool("search", arguments={"n": n}) as tool:
            tool.event("cache miss", n=n)
            if n % 100 == 0:
                tool.error(TimeoutError("no answer"))
"""


def test_the_collector_reads_the_history_of_a_store(tmp_path: pathlib.Path) -> None:
    store = tmp_path / "traces.db"
    run_python(PROGRAM, str(store))
    with running_collector(tmp_path) as collector:
        words = ["export", "--otlp", collector.http_url, "--json", "--store", str(store)]
        ran = subprocess.run(
            [sys.executable, "-m", "ironspan", *words],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["delivered"] == 600
        spans = {span.span_id: span for span in collector.wait_for_spans(600)}
    with ironspan.open_store(store) as opened:
        stored = list(opened.spans(content=True))
    assert spans.keys() == {span["id"] for span in stored}
    for there in stored:
        span = spans[there["id"]]
        assert (span.trace_id, span.parent_span_id or None) == (there["trace"], there["parent"])
        assert (span.start_ns, span.end_ns) == (there["start"], there["start"] + there["duration"])
        assert (span.name, span.scope, span.resource["team"]) == (there["name"], "ironspan", "a")
        assert (span.status.get("code") == 2) == (there["status"] == "error")
        if there["kind"] == "workflow":
            assert span.attributes["app.blob"] == b"\x00\xff"
            assert span.attributes["app.list"] == [1.5, 2.0]
        else:
            assert "cache miss" in [event["name"] for event in span.events]
