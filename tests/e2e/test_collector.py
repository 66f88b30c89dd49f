"""The collector that the other end-to-end tests lean on: it runs, it decodes, it is gone afterwards."""

from __future__ import annotations

import json
import pathlib
import socket
import urllib.request

import pytest

from tests.support.collector import running_collector

TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = {
    "traceId": TRACE,
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "eee19b7ec3c1b173",
    "name": "chat small-model",
    "kind": 3,
    "startTimeUnixNano": "1544712660000000001",
    "endTimeUnixNano": "1544712661000000002",
    "attributes": [
        {"key": "text", "value": {"stringValue": "grüße 🎈"}},
        {"key": "whole", "value": {"intValue": "9007199254740993"}},
        {"key": "half", "value": {"doubleValue": 0.5}},
        {"key": "yes", "value": {"boolValue": True}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "two"}]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "inner", "value": {"intValue": "3"}}]}}},
        {"key": "bytes", "value": {"bytesValue": "AAH/"}},
    ],
    "events": [
        {
            "timeUnixNano": "1544712660500000000",
            "name": "first token",
            "attributes": [{"key": "n", "value": {"intValue": "1"}}],
        }
    ],
    "status": {"code": 2, "message": "quota"},
}
REQUEST = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"scope": {"name": "by hand"}, "spans": [SPAN]}],
        }
    ]
}


def post(url: str, request: object) -> int:
    message = urllib.request.Request(
        f"{url}/v1/traces", json.dumps(request).encode(), {"content-type": "application/json"}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(message, timeout=10) as response:
        return response.status


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def test_a_span_sent_over_http_is_read_back_with_every_value_type(tmp_path: pathlib.Path) -> None:
    with running_collector(tmp_path) as collector:
        assert post(collector.http_url, REQUEST) == 200
        (span,) = collector.wait_for_spans(1)
    assert (span.name, span.trace_id, span.span_id, span.parent_span_id) == (
        "chat small-model",
        TRACE,
        "eee19b7ec3c1b174",
        "eee19b7ec3c1b173",
    )
    assert (span.kind, span.start_ns, span.end_ns) == (3, 1544712660000000001, 1544712661000000002)
    assert span.attributes == {
        "text": "grüße 🎈",
        "whole": 9007199254740993,
        "half": 0.5,
        "yes": True,
        "list": [1, "two"],
        "map": {"inner": 3},
        "bytes": b"\x00\x01\xff",
    }
    assert [(event["name"], event["attributes"]) for event in span.events] == [("first token", {"n": 1})]
    assert span.status["message"] == "quota"
    assert (span.resource, span.scope) == ({"service.name": "shop"}, "by hand")


def test_nothing_listens_once_the_block_is_left_by_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="in the block"), running_collector(tmp_path) as collector:
        raise RuntimeError("in the block")
    for url in (collector.http_url, collector.grpc_url):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(url)), timeout=5)


def test_waiting_for_spans_that_never_come_says_how_many_came(tmp_path: pathlib.Path) -> None:
    with running_collector(tmp_path) as collector:
        post(collector.http_url, REQUEST)
        with pytest.raises(AssertionError, match="1 of 2 spans arrived"):
            collector.wait_for_spans(2, timeout=1.0)
