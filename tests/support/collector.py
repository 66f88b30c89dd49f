"""A real OTLP receiver for one test: `with running_collector(tmp_path) as collector: ...`.

The program comes from `scripts/collector`: the OpenTelemetry Collector, or rotel where that cannot be built. The
Collector writes each request to a file as one line of OTLP JSON; rotel writes no files, so it forwards to a small
recorder in this process. Either way `read_spans()` gives the spans as somebody else's decoder understood them.

`python -m tests.support.collector COMMAND...` runs a program with its spans sent to one, and says what arrived there.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["CollectedSpan", "Collector", "running_collector", "spans_of"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "collector" / "config.yaml"
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
# Ports are free when they are picked and may be gone when the program binds them.
ATTEMPTS = 3


@dataclass(frozen=True)
class CollectedSpan:
    """One span as it arrived, with the attributes as Python values. `raw` is its OTLP JSON form."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]
    status: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    raw: dict[str, Any]


class Collector:
    """A collector that runs: where to send to, and what has arrived. Readable after the `with` block too."""

    def __init__(
        self, http_url: str, grpc_url: str, process: subprocess.Popen[bytes], requests: Callable[[], list[Any]]
    ):
        self.http_url = http_url
        self.grpc_url = grpc_url
        self._process = process
        self._requests = requests

    def read_spans(self) -> list[CollectedSpan]:
        """Every span that arrived so far, in order of arrival."""
        return [span for request in self._requests() for span in _spans(request)]

    def wait_for_spans(self, count: int, timeout: float = 15.0) -> list[CollectedSpan]:
        """The spans, as soon as there are `count` of them. Raises `AssertionError` at the deadline."""
        deadline = time.monotonic() + timeout
        while len(spans := self.read_spans()) < count:
            if time.monotonic() > deadline or _ended_within(self._process, 0.02):
                raise AssertionError(f"{len(spans)} of {count} spans arrived: {[span.name for span in spans]}")
        return spans


@contextlib.contextmanager
def running_collector(tmp_path: pathlib.Path) -> Iterator[Collector]:
    """Start a collector on free loopback ports, wait until it listens, and end it whatever happens in the block.

    Its log and its output are files in `tmp_path`. Raises `RuntimeError` with the end of that log if it does not start.
    """
    found = subprocess.run([ROOT / "scripts" / "collector", "--no-build"], capture_output=True, text=True)
    if found.returncode != 0:
        raise RuntimeError(found.stderr)
    program = pathlib.Path(found.stdout.strip())
    with contextlib.ExitStack() as stack:
        http_port, grpc_port = _free_ports(2)
        log = tmp_path / "collector.log"
        if program.name == "otelcol":
            output = tmp_path / "collector.jsonl"
            command = [program, "--config", CONFIG]
            environment = {"COLLECTOR_OUTPUT": str(output)}
            requests = _file_reader(output)
        else:
            forward_to, requests = stack.enter_context(_recorder())
            command = [program, "start", "--exporter", "otlp", "--otlp-exporter-protocol", "http"]
            # rotel defaults to fixed paths for its pid file and log.
            environment = {
                "ROTEL_OTLP_EXPORTER_ENDPOINT": forward_to,
                "ROTEL_PID_FILE": str(tmp_path / "rotel.pid"),
                "ROTEL_LOG_FILE": str(tmp_path / "rotel.log"),
            }
        for attempt in range(ATTEMPTS):
            http_address, grpc_address = f"127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}"
            addresses = {
                "COLLECTOR_HTTP_ADDRESS": http_address,
                "COLLECTOR_GRPC_ADDRESS": grpc_address,
                "ROTEL_OTLP_HTTP_ENDPOINT": http_address,
                "ROTEL_OTLP_GRPC_ENDPOINT": grpc_address,
            }
            process = _start(command, {**environment, **addresses}, log)
            stack.callback(_stop, process)
            if _listens(process, http_port, grpc_port):
                yield Collector(f"http://{http_address}", f"http://{grpc_address}", process, requests)
                return
            _stop(process)
            if attempt + 1 < ATTEMPTS:
                http_port, grpc_port = _free_ports(2)
        raise RuntimeError(f"{program.name} did not start; the end of its log:\n{log.read_text()[-2000:]}")


def _start(command: list[Any], environment: dict[str, str], log: pathlib.Path) -> subprocess.Popen[bytes]:
    # Proxy variables of the machine must not come between loopback and loopback.
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, env={**inherited, **environment}, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        if not _ended_within(process, STOP_SECONDS):
            process.kill()
            process.wait()


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _listens(process: subprocess.Popen[bytes], *ports: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    waiting = list(ports)
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", waiting[0]), timeout=1).close()
        except OSError:
            if _ended_within(process, 0.05):
                return False
        else:
            waiting.pop(0)
            if not waiting:
                # Somebody else may be what listens; then our program has just failed to bind.
                return process.poll() is None
    return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _file_reader(output: pathlib.Path) -> Callable[[], list[Any]]:
    def requests() -> list[Any]:
        if not output.exists():
            return []
        # The last line may be half written: it counts once its end is there.
        *lines, _ = output.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line]

    return requests


@contextlib.contextmanager
def _recorder() -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    """An OTLP/HTTP endpoint that keeps what rotel forwards, as OTLP JSON."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(_hex_ids(MessageToDict(ExportTraceServiceRequest.FromString(body))))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing: the test reports."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", lambda: list(received)
        finally:
            server.shutdown()
            thread.join()


def _hex_ids(value: Any) -> Any:
    """OTLP JSON has ids in hex (OTLP specification, JSON Protobuf Encoding); protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [_hex_ids(each) for each in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: base64.b64decode(each).hex() if key in ids else _hex_ids(each) for key, each in value.items()}


_KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]


def spans_of(request: Any) -> list[CollectedSpan]:
    """The spans of a decoded `ExportTraceServiceRequest`."""
    from google.protobuf.json_format import MessageToDict

    return list(_spans(_hex_ids(MessageToDict(request))))


def _spans(request: dict[str, Any]) -> Iterator[CollectedSpan]:
    for resource_spans in request.get("resourceSpans", []):
        resource = _attributes(resource_spans.get("resource", {}))
        for scope_spans in resource_spans.get("scopeSpans", []):
            for span in scope_spans.get("spans", []):
                kind = span.get("kind", 0)
                yield CollectedSpan(
                    name=span.get("name", ""),
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_span_id=span.get("parentSpanId", ""),
                    # Numbers in OTLP JSON, names in protobuf's own.
                    kind=kind if isinstance(kind, int) else _KINDS.index(kind.removeprefix("SPAN_KIND_")),
                    start_ns=int(span.get("startTimeUnixNano", 0)),
                    end_ns=int(span.get("endTimeUnixNano", 0)),
                    attributes=_attributes(span),
                    events=[{**each, "attributes": _attributes(each)} for each in span.get("events", [])],
                    links=[{**each, "attributes": _attributes(each)} for each in span.get("links", [])],
                    status=span.get("status", {}),
                    resource=resource,
                    scope=scope_spans.get("scope", {}).get("name", ""),
                    raw=span,
                )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each.get("value", {})) for each in holder.get("attributes", [])}


def _value(value: dict[str, Any]) -> Any:
    """The Python value of an OTLP AnyValue; an empty one is None."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "doubleValue":
            # NaN and the infinities are text in protobuf JSON.
            return float(content)
        if kind == "bytesValue":
            return base64.b64decode(content)
        if kind == "arrayValue":
            return [_value(each) for each in content.get("values", [])]
        if kind == "kvlistValue":
            return {each["key"]: _value(each.get("value", {})) for each in content.get("values", [])}
        return content
    return None


def main(command: list[str]) -> int:
    """Run a program beside a collector; its exit code, or 1 if it went well and yet nothing arrived."""
    with tempfile.TemporaryDirectory() as folder, running_collector(pathlib.Path(folder)) as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        code = subprocess.call(command, env={**os.environ, **environment})
        if code != 0:
            return code
        try:
            # Accepted is not yet written: the file exporter flushes ten times a second.
            collector.wait_for_spans(1, timeout=5.0)
            time.sleep(0.5)
            spans = collector.read_spans()
        except AssertionError:
            print("collector: nothing arrived", file=sys.stderr)
            return 1
        traces = {span.trace_id for span in spans}
        print(f"collector: {len(spans)} spans of {len(traces)} trace{'s' * (len(traces) > 1)} arrived over OTLP")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
