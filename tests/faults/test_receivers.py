"""The instrument is tested before anything is measured with it: opentelemetry-python's exporter is the client."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults import answers, wire
from tests.faults.receivers import Receiver, Remote, start

otlp = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
sdk = pytest.importorskip("opentelemetry.sdk.trace")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(detail="spans")
    yield made
    made.close()


def some_spans(count: int, **attributes: Any) -> list[Any]:
    """Ended spans, and the exporter's own input type, without a processor in between."""
    tracer = sdk.TracerProvider().get_tracer("test")
    spans = []
    for number in range(count):
        span = tracer.start_span(f"s{number}", attributes=attributes)
        span.end()
        spans.append(span)
    return spans


def export(endpoint: str, spans: list[Any], *, timeout: float = 2.0, **options: Any) -> bool:
    exporter = otlp.OTLPSpanExporter(endpoint=endpoint + "/v1/traces", timeout=timeout, **options)
    try:
        return bool(exporter.export(spans).name == "SUCCESS")
    finally:
        exporter.shutdown()


def one_request() -> bytes:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    return bytes(encode_spans(some_spans(3)).SerializeToString())


def exchange(endpoint: str, body: bytes | None = None) -> bytes:
    """Everything the receiver sends back for one request on a connection of its own."""
    body = one_request() if body is None else body
    host, port = endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        head = f"POST / HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n"
        client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        received = b""
        try:
            while data := client.recv(65536):
                received += data
        except ConnectionResetError:
            return received + b"<reset>"
        return received


def test_every_exported_span_is_counted_once_and_decoded(receiver: Receiver) -> None:
    spans = some_spans(50, answer=42, text="ä", ok=True, ratio=0.5, many=["a", "b"])
    assert export(receiver.endpoint, spans)
    report = receiver.report()
    assert (report["spans"], report["unique"], report["duplicates"], report["bad_requests"]) == (50, 50, 0, 0)
    sent = {format(span.context.span_id, "016x"): span for span in spans}
    assert receiver.ids() == dict.fromkeys(sent, 1)
    for got in receiver.spans():
        span = sent[got["span_id"]]
        assert got["name"] == span.name
        assert got["trace_id"] == format(span.context.trace_id, "032x")
        assert (got["start"], got["end"]) == (span.start_time, span.end_time)
        assert got["attributes"] == {"answer": 42, "text": "ä", "ok": True, "ratio": 0.5, "many": ["a", "b"]}
        assert got["resource"]["telemetry.sdk.name"] == "opentelemetry"


def test_the_same_spans_sent_again_are_duplicates_and_mark_the_request_as_resent(receiver: Receiver) -> None:
    spans = some_spans(4)
    assert export(receiver.endpoint, spans)
    assert export(receiver.endpoint, spans[:2] + some_spans(1))
    report = receiver.report()
    assert (report["spans"], report["unique"], report["duplicates"], report["resent"]) == (7, 5, 2, 1)
    assert [request["resent"] for request in receiver.requests()] == [False, True]


def test_gzip_and_deflate_bodies_are_read(receiver: Receiver) -> None:
    for compression in (otlp.Compression.Gzip, otlp.Compression.Deflate):
        assert export(receiver.endpoint, some_spans(5), compression=compression)
    assert receiver.report()["unique"] == 10


def test_the_cheap_walk_finds_the_ids_that_full_decoding_finds() -> None:
    body = one_request()
    decoded = [span["span_id"] for span in wire.decode(body, "application/x-protobuf")]
    assert [span_id.hex() for span_id in wire.span_ids(body, "application/x-protobuf")] == decoded


def test_the_walk_reads_fields_in_any_order() -> None:
    span = b"\x12\x08" + b"B" * 8 + b"\x2a\x01n" + b"\x0a\x10" + b"A" * 16 + b"\x39" + b"\0" * 8
    scope = b"\x12" + bytes([len(span)]) + span
    resource = b"\x0a\x00\x12" + bytes([len(scope)]) + scope
    body = b"\x0a" + bytes([len(resource)]) + resource
    assert wire.span_ids(body, "application/x-protobuf") == [b"B" * 8]


def test_injured_requests_are_malformed_and_never_another_error() -> None:
    body = one_request()
    source = random.Random(1)
    for _ in range(2000):
        injured = bytearray(body[: source.randrange(1, len(body))])
        injured[source.randrange(len(injured))] = source.randrange(256)
        for read in (wire.span_ids, wire.decode):
            with contextlib.suppress(wire.Malformed):
                read(bytes(injured), "application/x-protobuf")


def test_otlp_json_is_read(receiver: Receiver) -> None:
    span = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "j"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    request = urllib.request.Request(receiver.endpoint + "/v1/traces", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 200
    assert receiver.ids() == {"b7ad6b7169203331": 1}
    assert receiver.spans()[0]["trace_id"] == span["traceId"]


def test_a_request_that_is_not_otlp_is_counted_as_bad(receiver: Receiver) -> None:
    assert exchange(receiver.endpoint, b"\x0a\xff").startswith(b"HTTP/1.1 400 ")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            urllib.request.Request(receiver.endpoint, b"x", {"Content-Type": "text/plain"}), timeout=5
        )
    with caught.value as refused:
        assert refused.code == 415
    assert receiver.report()["bad_requests"] == 2
    assert receiver.report()["spans"] == 0


def test_refuse_refuses_and_the_port_comes_back(receiver: Receiver) -> None:
    receiver.switch("refuse")
    with pytest.raises(ConnectionRefusedError):
        exchange(receiver.endpoint)
    receiver.switch("ok")
    assert exchange(receiver.endpoint).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("mode", "options", "start_of_answer"),
    [
        ("503", {}, b"HTTP/1.1 503 "),
        ("401", {}, b"HTTP/1.1 401 "),
        ("redirect", {"location": "http://127.0.0.1:9/"}, b"HTTP/1.1 307 "),
        ("redirect", {"location": "http://127.0.0.1:9/", "status": 308}, b"HTTP/1.1 308 "),
        ("stale", {}, b"HTTP/1.1 200 "),
        ("garbage", {}, b"\x00\x16\x03 NOT"),
        ("ackloss", {}, b""),
        ("huge", {"size": 5 << 20}, b"HTTP/1.1 200 "),
    ],
)
def test_a_mode_answers_as_it_says(
    receiver: Receiver, mode: str, options: dict[str, Any], start_of_answer: bytes
) -> None:
    receiver.switch(mode, **options)
    answer = exchange(receiver.endpoint)
    assert answer.startswith(start_of_answer) if start_of_answer else answer == b""


def test_429_carries_the_retry_after_value_as_given(receiver: Receiver) -> None:
    for value in ("2", "-1", "1e99", "abc", "9" * 10_000):
        receiver.switch("429", retry_after=value)
        answer = exchange(receiver.endpoint)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: " + value.encode() + b"\r\n" in answer


def test_400_looks_for_the_bad_name_and_413_for_the_size(receiver: Receiver) -> None:
    receiver.switch("400", bad="s1")
    assert not export(receiver.endpoint, some_spans(3))
    assert export(receiver.endpoint, some_spans(1))
    receiver.switch("413", limit=2000)
    assert not export(receiver.endpoint, some_spans(40))
    assert export(receiver.endpoint, some_spans(1))
    assert receiver.report()["unique"] == 2


def test_partial_success_names_the_rejected_number(receiver: Receiver) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    receiver.switch("partial", rejected=3)
    body = exchange(receiver.endpoint).partition(b"\r\n\r\n")[2]
    message = ExportTraceServiceResponse.FromString(body)
    assert message.partial_success.rejected_spans == 3
    assert message.partial_success.error_message == "refused by the test"
    assert receiver.report()["rejected"] == 3


def test_rst_breaks_off_inside_the_headers(receiver: Receiver) -> None:
    receiver.switch("rst")
    answer = exchange(receiver.endpoint)
    assert answer.endswith(b"<reset>")
    assert b"\r\n\r\n" not in answer
    report = receiver.report()
    assert (report["spans"], report["seen"]) == (0, 3)


def test_ackloss_takes_every_span_and_answers_all_but_every_nth(receiver: Receiver) -> None:
    receiver.switch("ackloss", every=2)
    assert [bool(exchange(receiver.endpoint)) for _ in range(4)] == [True, False, True, False]
    assert receiver.report()["spans"] == 12


def test_header_storm_interim_storm_and_wrong_length_are_what_they_are_called(receiver: Receiver) -> None:
    receiver.switch("headers", count=10_000)
    assert exchange(receiver.endpoint).count(b"\r\nX-Header-") == 10_000
    receiver.switch("wrong-length", off=100)
    head, _, body = exchange(receiver.endpoint).partition(b"\r\n\r\n")
    assert b"Content-Length: 300" in head
    assert len(body) == 200
    receiver.switch("1xx", count=1000)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as client:
        body = one_request()
        head = b"POST / HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.sendall(head + body)
        received = b""
        while received.count(b"102 Processing") < 1000:
            received += client.recv(65536)
        receiver.switch("ok")
        assert client.recv(10) == b""


def test_a_held_connection_is_let_go_by_a_switch_of_mode(receiver: Receiver) -> None:
    receiver.switch("blackhole")
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as client:
        body = one_request()
        head = b"POST / HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.sendall(head + body)
        assert receiver.wait("requests", 1, 5)
        assert receiver.report()["open_connections"] == 1
        receiver.switch("ok")
        assert client.recv(10) == b""


def test_drip_and_slow_take_their_time(receiver: Receiver) -> None:
    receiver.switch("drip", interval=0.01)
    before = time.monotonic()
    assert export(receiver.endpoint, some_spans(1), timeout=10)
    # 38 bytes, one per interval: the waits add up, however fast the machine is.
    assert time.monotonic() - before >= 0.38
    receiver.switch("slow", rate=20)
    before = time.monotonic()
    assert export(receiver.endpoint, some_spans(10), timeout=10)
    assert time.monotonic() - before >= 0.5


def test_fuzzed_answers_are_repeatable_and_mostly_invalid() -> None:
    first = [answers.mutated(random.Random(f"7/{n}")) for n in range(200)]
    assert first == [answers.mutated(random.Random(f"7/{n}")) for n in range(200)]
    assert len(set(first)) > 150


def test_a_receiver_process_obeys_and_prints_its_totals() -> None:
    remote: Remote = start("503")
    assert not export(remote.endpoint, some_spans(1), timeout=0.5)
    remote.switch("ok")
    spans = some_spans(6)
    assert export(remote.endpoint, spans)
    assert export(remote.endpoint, spans[:1])
    assert remote.wait("unique", 6, 5)
    assert remote.report()["requests"] >= 3
    with pytest.raises(ValueError, match="mode must be"):
        remote.switch("nonsense")
    assert remote.close() == "7 / 6 / 1 / 0"
