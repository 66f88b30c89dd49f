"""Reads OTLP/HTTP trace requests, at two prices.

`span_ids` walks the protobuf by hand and touches nothing but span ids: half a microsecond a span, so that the sink is
never what a load test measures. `decode` parses everything with `opentelemetry-proto` and is for the scenarios that
look at parents, times or attributes. Both raise `Malformed` and nothing else for bytes that are not a request.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

__all__ = ["Malformed", "Unsupported", "decode", "decompress", "partial_success", "span_ids"]

# Responses and requests beyond this are a fault of the sender: the OTLP specification's own ceiling for a request.
MAX_BODY = 64 * 1024 * 1024


class Malformed(ValueError):
    """The body is not an OTLP trace export request."""


class Unsupported(ValueError):
    """A content type or content encoding that this receiver does not speak."""


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo `Content-Encoding`. At most 64 MiB come out."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity", "none"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Unsupported(f"content encoding {encoding!r}")
    try:
        plain = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(f"{encoding}: {error}") from error
    if len(plain) > MAX_BODY:
        raise Malformed(f"{len(plain)} bytes after decompression")
    return plain


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a varint runs over the end of its message")


def _children(data: bytes, start: int, end: int, number: int) -> list[tuple[int, int]]:
    """Bounds of every length-delimited field `number` of the message in `data[start:end]`."""
    found = []
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise Malformed("a field is longer than the message that holds it")
            if tag >> 3 == number:
                found.append((at, at + length))
            at += length
        elif kind == 0:
            _, at = _varint(data, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
            if at > end:
                raise Malformed("a fixed-width field runs over the end of its message")
        else:
            raise Malformed(f"wire type {kind}")
    return found


def _ids_of_scope(data: bytes, start: int, end: int) -> list[bytes]:
    """Ids of the spans of one ScopeSpans message.

    Every encoder writes the scope (field 1) and then the spans, one after the other, and in each span the trace id
    (field 1, 16 bytes) and the span id (field 2, 8 bytes) first. While that holds and a length takes one or two bytes,
    nothing has to be parsed: half a microsecond a span instead of two to four.
    """
    ids = []
    at = start
    if at < end and data[at] == 0x0A:
        length, at = _varint(data, at + 1, end)
        at += length
    while at + 31 <= end and data[at] == 0x12:
        low, high = data[at + 1], data[at + 2]
        if low < 0x80:
            first, length = at + 2, low
        elif high < 0x80:
            first, length = at + 3, low & 0x7F | high << 7
        else:
            break
        if length < 28 or first + length > end or data[first + 1] != 0x10 or data[first + 18] != 0x12:
            break
        if data[first] != 0x0A or data[first + 19] != 0x08:
            break
        ids.append(data[first + 20 : first + 28])
        at = first + length
    return ids + [_span_id(data, *span) for span in _children(data, at, end, 2)]


def _span_id(data: bytes, start: int, end: int) -> bytes:
    found = _children(data, start, end, 2)
    if len(found) != 1 or found[0][1] - found[0][0] != 8:
        raise Malformed("a span without a span id of 8 bytes")
    return data[found[0][0] : found[0][1]]


def span_ids(body: bytes, content_type: str) -> list[bytes]:
    """The span ids of a request, in order, with repetitions."""
    if content_type == "application/x-protobuf":
        return [
            span_id
            for resource in _children(body, 0, len(body), 1)
            for scope in _children(body, *resource, 2)
            for span_id in _ids_of_scope(body, *scope)
        ]
    if content_type == "application/json":
        return [bytes.fromhex(span["span_id"]) for span in decode(body, content_type)]
    raise Unsupported(f"content type {content_type!r}")


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _value(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)


def decode(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """Every span of a request as a plain dictionary: ids in hex, times in Unix nanoseconds, attributes as a mapping."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest()
    try:
        if content_type == "application/x-protobuf":
            message.ParseFromString(body)
        elif content_type == "application/json":
            _fill_from_json(message, body)
        else:
            raise Unsupported(f"content type {content_type!r}")
    except (DecodeError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(str(error)) from error
    spans = []
    for resource in message.resource_spans:
        about = {item.key: _value(item.value) for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                spans.append(
                    {
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "status": span.status.code,
                        "attributes": {item.key: _value(item.value) for item in span.attributes},
                        "dropped_attributes": span.dropped_attributes_count,
                        "events": [event.name for event in span.events],
                        "resource": about,
                    }
                )
    return spans


def _fill_from_json(message: Any, body: bytes) -> None:
    """OTLP/JSON differs from protobuf's JSON in its ids: hex, where `json_format` expects base64."""
    import base64

    from google.protobuf import json_format

    def rewrite(node: Any) -> Any:
        if isinstance(node, list):
            return [rewrite(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(item, str)
            else rewrite(item)
            for key, item in node.items()
        }

    try:
        json_format.ParseDict(rewrite(json.loads(body)), message, ignore_unknown_fields=True)
    except (ValueError, json_format.ParseError) as error:
        raise Malformed(str(error)) from error


def partial_success(rejected: int, text: str) -> bytes:
    """`ExportTraceServiceResponse` that refuses `rejected` spans. Both must be under 128: one varint byte each."""
    inner = bytes([0x08, rejected, 0x12, len(text)]) + text.encode()
    return bytes([0x0A, len(inner)]) + inner
