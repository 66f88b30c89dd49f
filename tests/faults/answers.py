"""What a collector can do to a client: one function per mode of the bad collector.

A mode is called with an `Exchange` once a request has been read completely and decides three things: whether the spans
count as taken (`take`), what goes back on the wire, and whether the connection lives on (its return value). The table
`MODES` at the end is what the command line and `Receiver.switch` accept; `refuse` is missing there because it is about
listening, not about answering.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.faults import wire

__all__ = ["MODES", "Exchange", "Request"]

KEEP, CLOSE = True, False
PROTOBUF = "application/x-protobuf"


@dataclass
class Request:
    """One request as read from the socket; `body` is decompressed, `wire_bytes` is what travelled."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    wire_bytes: int
    at: float
    ids: list[bytes] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


class Keeper(Protocol):
    """The part of the receiver that a mode may touch."""

    def take(self, request: Request) -> None: ...
    def note_rejected(self, count: int) -> None: ...
    def hold(self, connection: socket.socket, seconds: float | None, generation: int) -> bool: ...
    def count(self, what: str) -> int: ...
    def pace(self, seconds: float) -> float: ...


@dataclass
class Exchange:
    """One request, the connection it came on, and the options of the mode that answers it."""

    keeper: Keeper
    connection: socket.socket
    request: Request
    options: dict[str, Any]
    generation: int
    status: int = 0

    def take(self) -> None:
        """Count the spans of this request as stored by the collector."""
        self.keeper.take(self.request)

    def hold(self, seconds: float | None) -> bool:
        """Wait with the connection open; false when the client left or the mode was switched meanwhile."""
        return self.keeper.hold(self.connection, seconds, self.generation)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bool:
        self.status = status
        lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {PROTOBUF}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return KEEP

    def reset(self) -> bool:
        """Close with RST instead of FIN: lingering is off and unsent data is thrown away."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return CLOSE


def ok(x: Exchange) -> bool:
    """Take everything. `delay`: seconds before the answer."""
    if x.options.get("delay"):
        x.hold(float(x.options["delay"]))
    x.take()
    return x.reply(200)


def blackhole(x: Exchange) -> bool:
    """Read the request, never answer, keep the connection open until the client or a switch of mode ends it."""
    x.hold(None)
    return CLOSE


def _retry_after(x: Exchange) -> dict[str, str]:
    return {"Retry-After": str(x.options["retry_after"])} if "retry_after" in x.options else {}


def unavailable(x: Exchange) -> bool:
    return x.reply(503, headers=_retry_after(x))


def throttled(x: Exchange) -> bool:
    """429; `retry_after` goes into the header as it is, sensible or not."""
    return x.reply(429, headers=_retry_after(x))


def bad_request(x: Exchange) -> bool:
    """400 for a request that holds a span named `bad` (option), 200 otherwise. `bad=None`: always 400."""
    bad = x.options.get("bad", "bad")
    if bad is None or any(span["name"] == bad for span in wire.decode(x.request.body, x.request.content_type)):
        return x.reply(400)
    return ok(x)


def unauthorized(x: Exchange) -> bool:
    return x.reply(401)


def too_large(x: Exchange) -> bool:
    """413 above `limit` bytes after decompression, 200 otherwise."""
    if len(x.request.body) > int(x.options.get("limit", 1024 * 1024)):
        return x.reply(413)
    return ok(x)


def partial(x: Exchange) -> bool:
    """200 that refuses `rejected` spans of every request (fewer if it holds fewer)."""
    rejected = min(int(x.options.get("rejected", 3)), len(x.request.ids))
    x.take()
    x.keeper.note_rejected(rejected)
    return x.reply(200, wire.partial_success(rejected, "refused by the test"))


def rst(x: Exchange) -> bool:
    """Half a response, then a reset. The spans are not taken."""
    x.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Le")
    return x.reset()


def ackloss(x: Exchange) -> bool:
    """Take the spans and close without an answer, on each `every`-th request; 200 on the others."""
    x.take()
    if x.keeper.count("ackloss") % int(x.options.get("every", 1)) == 0:
        x.status = -1
        return CLOSE
    return x.reply(200)


def redirect(x: Exchange) -> bool:
    """`status` (307) to `location`."""
    return x.reply(int(x.options.get("status", 307)), headers={"Location": str(x.options["location"])})


def stale(x: Exchange) -> bool:
    """A good answer that promises keep-alive, on a connection that is closed right after it."""
    x.take()
    x.reply(200, headers={"Connection": "keep-alive"})
    return CLOSE


def drip(x: Exchange) -> bool:
    """A correct answer, one byte per `interval` (1 s)."""
    x.status = 200
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
        if not x.hold(float(x.options.get("interval", 1.0))):
            return CLOSE
        x.send(bytes([byte]))
    x.take()
    return KEEP


def garbage(x: Exchange) -> bool:
    """Bytes that are no HTTP/1 response. `payload`: text to send; an HTTP/0.9 body is one such text."""
    x.send(str(x.options.get("payload", "\x00\x16\x03 NOT HTTP AT ALL\r\n\r\n")).encode("latin-1"))
    return CLOSE


def informational(x: Exchange) -> bool:
    """`count` (10,000) interim responses of the 1xx class and never a final one."""
    block = b"HTTP/1.1 102 Processing\r\n\r\n" * 100
    for _ in range(int(x.options.get("count", 10_000)) // 100):
        x.send(block)
    x.hold(None)
    return CLOSE


def headers(x: Exchange) -> bool:
    """A 200 under `count` (10,000) headers."""
    x.take()
    lines = b"".join(b"X-Header-%d: %d\r\n" % (n, n) for n in range(int(x.options.get("count", 10_000))))
    x.send(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")
    return CLOSE


def wrong_length(x: Exchange) -> bool:
    """A 200 whose Content-Length is `off` (+100) from the truth; then the connection ends."""
    x.take()
    body = b"x" * 200
    x.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + int(x.options.get("off", 100))) + body)
    return CLOSE


def huge(x: Exchange) -> bool:
    """A 200 with a body of `size` (64 MiB) bytes, far above what a client should read."""
    x.take()
    size = int(x.options.get("size", 64 * 1024 * 1024))
    x.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size)
    block = b"\0" * 65536
    for _ in range(size // len(block)):
        x.send(block)
    return CLOSE


def slow(x: Exchange) -> bool:
    """A collector that manages `rate` (100) spans per second, over all connections together, and then answers 200."""
    wait = x.keeper.pace(len(x.request.ids) / float(x.options.get("rate", 100)))
    x.hold(wait)
    x.take()
    return x.reply(200)


_SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + wire.partial_success(1, "none"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Unavailable\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/v1/traces\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 7\r\n\r\n\x08\x03\x12\x03bad",
]
_SPLICES = [b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\xff", b": ", b"HTTP/1.1 ", b"-1", b"9" * 30, b"0" * 9000, b"\x1b[2J"]


def mutated(seed: random.Random) -> bytes:
    """A valid response with one to six random injuries."""
    data = bytearray(seed.choice(_SEEDS))
    for _ in range(seed.randint(1, 6)):
        at = seed.randrange(len(data) + 1)
        injury = seed.randrange(5)
        if injury == 0 and data:
            data[at % len(data)] = seed.randrange(256)
        elif injury == 1:
            del data[at : at + seed.randint(1, 20)]
        elif injury == 2:
            data[at:at] = seed.choice(_SPLICES)
        elif injury == 3:
            data[at:at] = data[at : at + seed.randint(1, 40)]
        else:
            del data[at:]
    return bytes(data)


def fuzz(x: Exchange) -> bool:
    """A mutated response, other for every request of a run but repeated by the same `seed`; ended by FIN or RST."""
    source = random.Random(f"{x.options.get('seed', 0)}/{x.keeper.count('fuzz')}")
    data = mutated(source)
    x.send(data)
    if data.startswith(b"HTTP/1.1 200"):
        x.take()
    end = source.randrange(4)
    if end == 0:
        return x.reset()
    if end == 1:
        x.hold(0.05)
    return CLOSE


MODES: dict[str, Callable[[Exchange], bool]] = {
    "ok": ok,
    "blackhole": blackhole,
    "503": unavailable,
    "429": throttled,
    "400": bad_request,
    "401": unauthorized,
    "413": too_large,
    "partial": partial,
    "rst": rst,
    "ackloss": ackloss,
    "redirect": redirect,
    "stale": stale,
    "drip": drip,
    "garbage": garbage,
    "1xx": informational,
    "headers": headers,
    "wrong-length": wrong_length,
    "huge": huge,
    "slow": slow,
    "fuzz": fuzz,
}
