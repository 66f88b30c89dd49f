"""A program that records every field that a span of ours can have, and what OTLP makes of a finished span.

The end-to-end tests send these spans to somebody else's decoder and compare what that understood, field by field, with
what `MemoryExporter` kept of the very same spans.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ironspan
from ironspan.testing import FinishedSpan

__all__ = ["RESOURCE", "expected", "plain", "record"]

RESOURCE = {"shop.shelf": "top", "shop.count": 3, "shop.half": 0.5, "shop.open": True, "shop.rows": ["a", "b"]}

CARRIER = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
    "tracestate": "vendor=t61rcWkgMzE,other=1",
    "baggage": "tenant=acme",
}

VALUES: dict[str, Any] = {
    "text": "grüße 🎈 \u4e16\u754c",
    "empty text": "",
    "control": "a\x00b\x1f\x7f\u2028\ud800",
    "whole": 9_007_199_254_740_993,
    "least": -(2**63),
    "most": 2**63 - 1,
    "beyond": 2**70,
    "half": 0.5,
    "tiny": 5e-324,
    "minus zero": -0.0,
    "not a number": math.nan,
    "infinite": math.inf,
    "minus infinite": -math.inf,
    "yes": True,
    "no": False,
    "nothing": None,
    "bytes": b"\x00\x01\xff",
    "no bytes": b"",
    "list": [1, "two", 3.0, None, True, b"x", [], {}],
    "empty list": [],
    "map": {"inner": {"deep": [{"er": 1}]}, "": "no key"},
    "empty map": {},
    "long": "x" * 300,
}


class Broken(RuntimeError):
    """Raised and recorded, with a cause."""


def record() -> None:
    """Every kind, status, value, event and link; parents from here and from another process."""
    with (
        ironspan.attach(ironspan.extract(CARRIER)),
        ironspan.scope(session="s-1", user="ada", tags=["t"]),
        ironspan.workflow("remote child", tags=["u"]) as first,
    ):
        first.update(VALUES)
        first.event("plain")
        first.event("rich", level="warning", n=1, text="ü", list=[1, 2], map={"a": 1})
    with ironspan.agent("local root", role="helper") as agent:
        agent.link(first, role="continues").link(CARRIER["traceparent"])
        with ironspan.generation(
            "gpt-4o",
            provider="openai",
            messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": "6 x 7?"}],
            params={"temperature": 0.25, "max_tokens": 64, "stop": ["."]},
            tools=[{"type": "function", "function": {"name": "multiply", "parameters": {"type": "object"}}}],
        ) as call:
            call.output("42").usage(input=12, output=3, cached=4, reasoning=1).finish("stop").cost(total=0.00012)
        with ironspan.retrieval("pools", source="notes", top_k=2) as search:
            search.documents([{"id": "a", "score": 0.75, "content": "text", "metadata": {"page": 1}}])
        with ironspan.embedding("embed-3", input=["a", "b"]):
            pass
        with ironspan.tool("multiply", arguments={"a": 6, "b": 7}, call_id="call_1") as tool:
            tool.output(42)
    for word in ("internal", "server", "client", "producer", "consumer"):
        with ironspan.span(word, otel_kind=word):
            pass
    try:
        with ironspan.span("failed"):
            try:
                raise ValueError("the cause")
            except ValueError as cause:
                raise Broken("the message") from cause
    except Broken:
        pass
    try:
        with ironspan.span("cancelled"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    ironspan.span("abandoned").start()
    ironspan.span("timed").start(time=1_700_000_000_123_456_789).end(time=1_700_000_001_987_654_321)
    with ironspan.span("over the limits") as full:
        full.update({f"key {number}": number for number in range(200)})
        for number in range(200):
            full.event(f"event {number}")
            full.link(first)


def expected(span: FinishedSpan) -> dict[str, Any]:
    """The span as OTLP JSON has it (opentelemetry-proto, trace.proto), with attributes as Python values."""
    wanted = dataclasses.asdict(span)
    failed = span.status == "error"
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id or "",
        "traceState": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.otel_kind,
        "startTimeUnixNano": span.start_ns,
        "endTimeUnixNano": span.end_ns,
        "attributes": plain(wanted["attributes"]),
        "droppedAttributesCount": span.dropped_attributes,
        "droppedEventsCount": span.dropped_events,
        "droppedLinksCount": span.dropped_links,
        "events": [
            {
                "timeUnixNano": event["time_ns"],
                "name": event["name"],
                "attributes": plain(event["attributes"]),
                "droppedAttributesCount": event["dropped_attributes"],
            }
            for event in span.events
        ],
        "links": [
            {
                "traceId": link["trace_id"],
                "spanId": link["span_id"],
                "traceState": link["trace_state"],
                "flags": link["flags"],
                "attributes": plain(link["attributes"]),
                "droppedAttributesCount": link["dropped_attributes"],
            }
            for link in span.links
        ],
        "status": {"code": 2, "message": span.status_message} if failed else {},
    }


def plain(value: Any) -> Any:
    """`value` with every number as its type and digits, so that NaN equals itself, and 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if isinstance(value, str | bytes | None) else f"{type(value).__name__} {value!r}"
