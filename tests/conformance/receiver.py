"""The receiver that every tracer exports to: OTLP over HTTP, on loopback, at any path that ends in `/v1/traces`.

Other requests, which some tracers send to what they take for their own server, get an empty JSON object. What is kept
of a span is everything that a judgement of its tree and facts may need.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.wire import decompress

__all__ = ["Received", "Receiver"]

ERROR = 2


@dataclass
class Received:
    """A span as it came."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    end: int
    failed: bool
    message: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _mapping(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def _mapping(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def decode(body: bytes) -> list[Received]:
    """The spans of an OTLP request in protobuf."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    return [
        Received(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == ERROR,
            span.status.message,
            _mapping(span.attributes),
            [(event.name, _mapping(event.attributes)) for event in span.events],
            [(link.trace_id.hex(), link.span_id.hex(), _mapping(link.attributes)) for link in span.links],
        )
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class Receiver:
    """A receiver on a free port; `spans()` is what has come so far."""

    def __init__(self) -> None:
        self._spans: list[Received] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                traces = self.path.endswith("/v1/traces")
                if traces:
                    receiver._take(decompress(body, self.headers.get("Content-Encoding", "")))
                self._answer(b"" if traces else b"{}", "application/x-protobuf" if traces else "application/json")

            def do_GET(self) -> None:
                self._answer(b"{}", "application/json")

            do_PATCH = do_POST

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[Received]:
        """The spans so far, each id once: the last one that came counts."""
        with self._lock:
            return list({(span.trace_id, span.span_id): span for span in self._spans}.values())

    def _take(self, body: bytes) -> None:
        found = decode(body)
        with self._lock:
            self._spans += found
