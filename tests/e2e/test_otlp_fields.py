"""What others read in our OTLP: a real collector over each protocol, and the decoder of `opentelemetry-proto`.

Both are given the spans of `tests.support.every_field`, and each field of each span is compared with what was recorded.
"""

from __future__ import annotations

import base64
import gzip
import json
import pathlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ironspan
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from ironspan import exporters
from ironspan.testing import FinishedSpan, MemoryExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import every_field
from tests.support.collector import CollectedSpan, running_collector, spans_of

IDS = ("traceId", "spanId", "parentSpanId")


@pytest.fixture(autouse=True)
def afterwards_off() -> Iterator[None]:
    yield
    ironspan.shutdown()


def record_to(*destinations: exporters.Otlp) -> MemoryExporter:
    memory = MemoryExporter()
    ironspan.init(
        service="shop",
        version="1.2.3",
        environment="test",
        resource=every_field.RESOURCE,
        exporters=[memory, *destinations],
    )
    every_field.record()
    assert ironspan.flush(20.0), ironspan.stats()
    return memory


def as_read(span: CollectedSpan) -> dict[str, Any]:
    """The collector's span in the shape of `every_field.expected`: what OTLP JSON leaves out is the default."""
    raw = span.raw
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id,
        "traceState": raw.get("traceState", ""),
        "flags": raw.get("flags", 0),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_ns,
        "endTimeUnixNano": span.end_ns,
        "attributes": every_field.plain(span.attributes),
        "droppedAttributesCount": raw.get("droppedAttributesCount", 0),
        "droppedEventsCount": raw.get("droppedEventsCount", 0),
        "droppedLinksCount": raw.get("droppedLinksCount", 0),
        "events": [
            {
                "timeUnixNano": int(event["timeUnixNano"]),
                "name": event["name"],
                "attributes": every_field.plain(event["attributes"]),
                "droppedAttributesCount": event.get("droppedAttributesCount", 0),
            }
            for event in span.events
        ],
        "links": [
            {
                "traceId": link["traceId"],
                "spanId": link["spanId"],
                "traceState": link.get("traceState", ""),
                "flags": link.get("flags", 0),
                "attributes": every_field.plain(link["attributes"]),
                "droppedAttributesCount": link.get("droppedAttributesCount", 0),
            }
            for link in span.links
        ],
        "status": code_and_message(span.status),
    }


def code_and_message(status: dict[str, Any]) -> dict[str, Any]:
    code = status.get("code", 0)
    return {"code": 2, "message": status.get("message", "")} if code in (2, "STATUS_CODE_ERROR") else {}


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_collector_reads_every_field_as_it_was_recorded(
    protocol: str, compression: str, tmp_path: pathlib.Path
) -> None:
    with running_collector(tmp_path) as collector:
        url = collector.grpc_url if protocol == "grpc" else collector.http_url
        memory = record_to(exporters.Otlp(url, protocol=protocol, compression=compression))
        recorded = {span.span_id: span for span in memory.spans}
        arrived = collector.wait_for_spans(len(recorded))
    assert {span.span_id for span in arrived} == set(recorded)
    for span in arrived:
        assert as_read(span) == without_signs_of_zero(every_field.expected(recorded[span.span_id]))
        assert every_field.plain(span.resource) == every_field.plain(memory.resource)
        assert span.scope == "ironspan"
    check_the_program(list(recorded.values()), arrived[0].resource)


def without_signs_of_zero(value: Any) -> Any:
    """The Collector's file exporter writes -0.0 as 0; the decoder below sees that it was sent as what it is."""
    if isinstance(value, dict):
        return {key: without_signs_of_zero(each) for key, each in value.items()}
    return "float 0.0" if value == "float -0.0" else value


def check_the_program(spans: list[FinishedSpan], resource: dict[str, Any]) -> None:
    """That the spans hold what this is about: a program that records less would compare equal as well."""
    assert resource.items() >= {"service.name": "shop", "service.version": "1.2.3", "shop.rows": ["a", "b"]}.items()
    assert {span.otel_kind for span in spans} == {1, 2, 3, 4, 5}
    assert {span.status for span in spans} == {"ok", "error", "cancelled", "abandoned"}
    assert any(span.trace_state for span in spans)
    assert any(span.flags & 0x200 for span in spans)
    assert any(link["trace_state"] for span in spans for link in span.links)
    full = next(span for span in spans if span.name == "over the limits")
    assert min(full.dropped_attributes, full.dropped_events, full.dropped_links) > 0
    values = next(span for span in spans if span.name.endswith("remote child")).attributes
    kinds = {type(value) for value in values.values()}
    assert kinds >= {str, int, float, bool, bytes, list, type(None)}


class Receiver:
    """Takes OTLP over HTTP and keeps the bodies, by content type."""

    def __init__(self) -> None:
        bodies: dict[str, list[bytes]] = {"application/x-protobuf": [], "application/json": []}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                bodies[self.headers["content-type"]].append(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing: the test reports."""

        self.bodies = bodies
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_protobuf_and_json_are_one_message_to_an_independent_decoder(compression: str) -> None:
    with Receiver() as receiver:
        memory = record_to(
            exporters.Otlp(receiver.url, protocol="http/protobuf", compression=compression),
            exporters.Otlp(receiver.url, protocol="http/json", compression=compression),
        )
        recorded = {span.span_id: span for span in memory.spans}
        ironspan.shutdown()
    binary, text = receiver.bodies["application/x-protobuf"], receiver.bodies["application/json"]
    requests = [ExportTraceServiceRequest.FromString(body) for body in binary]
    from_binary, from_text = by_id(requests), by_id([parse_json(body) for body in text])
    assert from_binary.keys() == from_text.keys() == recorded.keys()
    for span_id, span in from_binary.items():
        # NaN differs from itself in messages, but not in their bytes.
        assert span.SerializeToString(deterministic=True) == from_text[span_id].SerializeToString(deterministic=True)
    for span in (span for request in requests for span in spans_of(request)):
        assert as_read(span) == every_field.expected(recorded[span.span_id])
    for body, request in zip(binary, requests, strict=True):
        assert no_unknown_fields(request)
        # Fields in the order of their numbers, defaults left out: what every implementation writes.
        assert request.SerializeToString(deterministic=True) == body
        (resource_spans,) = request.resource_spans
        (scope_spans,) = resource_spans.scope_spans
        assert (scope_spans.scope.name, scope_spans.scope.version) == ("ironspan", ironspan.__version__)
        assert {each.key for each in resource_spans.resource.attributes} == memory.resource.keys()
    assert_lengths_of_ids(from_binary.values())


def by_id(requests: list[ExportTraceServiceRequest]) -> dict[str, Any]:
    return {
        span.span_id.hex(): span
        for request in requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    }


def parse_json(body: bytes) -> ExportTraceServiceRequest:
    """Protobuf's own JSON has base64 where OTLP JSON has hex ids; unknown keys are an error to it."""

    def base64_ids(value: Any) -> Any:
        if isinstance(value, list):
            return [base64_ids(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(each)).decode() if key in IDS else base64_ids(each)
            for key, each in value.items()
        }

    return json_format.ParseDict(base64_ids(json.loads(body)), ExportTraceServiceRequest(), max_recursion_depth=200)


def no_unknown_fields(message: Message) -> bool:
    inner = [each for _, value in message.ListFields() for each in (value if is_repeated(value) else [value])]
    return len(UnknownFieldSet(message)) == 0 and all(
        no_unknown_fields(each) for each in inner if isinstance(each, Message)
    )


def is_repeated(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def assert_lengths_of_ids(spans: Any) -> None:
    for span in spans:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8)
        assert len(span.parent_span_id) in (0, 8)
        assert all((len(link.trace_id), len(link.span_id)) == (16, 8) for link in span.links)
