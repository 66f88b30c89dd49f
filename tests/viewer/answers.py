"""Answers of the server made by hand, for traces that no store gives: rings of parents, ends that are missing.

docs/viewer-api.md says what they look like.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["answer_with", "skeleton", "trace_row"]

TRACE = "0123456789abcdef0123456789abcdef"


def skeleton(*rows: dict[str, Any]) -> dict[str, Any]:
    """The columns of a trace from rows; what a row leaves out is unknown or nothing."""
    names: list[str] = []

    def text(value: str | None) -> int:
        if value is None:
            return -1
        if value not in names:
            names.append(value)
        return names.index(value)

    kinds = ("span", "workflow", "agent", "generation", "retrieval", "embedding", "rerank", "tool", "evaluator")
    return {
        "n": len(rows),
        "names": names,
        "id": [f"{k:016x}" for k in range(len(rows))],
        "parent": [row.get("parent", -1) for row in rows],
        "name": [text(row.get("name", "step")) for row in rows],
        "kind": [kinds.index(row.get("kind", "span")) for row in rows],
        "agent": [text(row.get("agent")) for row in rows],
        "model": [text(row.get("model")) for row in rows],
        "start": [row["start"] for row in rows],
        "duration": [row.get("duration") for row in rows],
        "status": [1 if row.get("error") else 0 for row in rows],
        "own_error": [1 if row.get("error") else 0 for row in rows],
        "error": [text(row.get("error")) for row in rows],
        "input_tokens": [None] * len(rows),
        "output_tokens": [None] * len(rows),
        "cost": [row.get("cost") for row in rows],
        "first_chunk": [None] * len(rows),
        "service": [-1] * len(rows),
    }


def trace_row(**changes: Any) -> dict[str, Any]:
    """A trace as it stands in a list."""
    row = {
        "id": TRACE, "name": "given", "status": "ok", "errors": 0, "start": "1790000000000000000",
        "duration": 1_000_000, "spans": 1, "open": 0, "agents": [], "generations": 0, "tools": 0,
        "tokens": {"input": None, "output": None, "cached": None, "reasoning": None}, "cost": None, "unpriced": 0,
        "session": None, "user": None, "service": None, "environment": None, "input": None, "output": None,
        "error": None, "tags": [], "scores": [],
    }  # fmt: skip
    return {**row, **changes}


def answer_with(page: Any, files: str, spans: dict[str, Any], **changes: Any) -> str:
    """Let a page find one trace with these spans, on a server that has only files. Returns the trace's address."""
    whole = {
        "trace": trace_row(spans=spans["n"], **changes), "spans": spans, "links": [], "scores": [],
        "warnings": [{"kind": "missing_parent", "count": 1, "text": "1 span has a parent that is not there"}],
    }  # fmt: skip

    def answer(route: Any) -> None:
        path = route.request.url.split("/api/v1/")[1].split("?")[0]
        if path == f"traces/{TRACE}":
            route.fulfill(status=200, content_type="application/json", body=json.dumps(whole))
        elif path == f"traces/{TRACE}/graph":
            route.fulfill(status=200, json={"nodes": [], "edges": []})
        elif path == "status":
            status = {"version": "0", "path": "given", "bytes": 0, "traces": 1, "spans": 1, "schema": 1, "last_span": 1}
            route.fulfill(status=200, json={**status, "maintainer": False})
        elif path == "live":
            route.fulfill(status=200, content_type="text/event-stream", body="")
        elif path.startswith("spans/"):
            index = spans["id"].index(path.rsplit("/", 1)[1])
            route.fulfill(status=200, json=span_body(spans, index))
        else:
            route.fulfill(status=404, json={"error": {"message": f"no answer was given for {path}"}})

    page.route("**/api/v1/**", answer)
    return f"{files}/#/t/{TRACE}"


def span_body(spans: dict[str, Any], index: int) -> dict[str, Any]:
    """A span with nothing in it."""
    return {
        "id": spans["id"][index], "trace": TRACE, "parent": None, "name": spans["names"][spans["name"][index]],
        "kind": "span", "status": "ok", "agent": None, "model": None, "provider": None, "start": "1790000000000000000",
        "duration": spans["duration"][index], "service": None, "error": None, "messages": None, "tools": [],
        "documents": [], "query": None, "input": None, "output": None, "usage": None, "cost": None, "first_chunk": None,
        "finish_reasons": [], "attributes": {}, "events": [], "links": [], "resource": {}, "bytes": 10,
    }  # fmt: skip
