"""A collector to test against: it counts what arrives and, told to, misbehaves in one of the ways of `answers.py`.

`Receiver` is a threaded OTLP/HTTP server inside this process. `python -m tests.faults.receivers` is the same server in
a process of its own, so that what it costs stays out of a measurement; `start()` launches one and returns a `Remote`
with the methods of `Receiver`. It is built on bare sockets: half of the modes are things an HTTP library will not send.

The process prints one JSON line with its ports, obeys commands on the control port, and on SIGTERM prints
`spans / unique / duplicates / bad_requests`. One launched by `start` ends with its parent: no crash leaves one behind.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from tests.faults import wire
from tests.faults.answers import MODES, Exchange, Request

__all__ = ["DETAILS", "Receiver", "Remote", "start"]

# count: spans per request only. ids: also the multiset of span ids. spans: also every decoded span.
DETAILS = ("count", "ids", "spans")
MAX_HEAD = 64 * 1024
_JOIN_SECONDS = 5.0


class _Closed(Exception):
    """The client went away, or sent something that is not HTTP."""


class _Input:
    """Buffered reading of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = bytearray()

    def fill(self) -> None:
        data = self.connection.recv(1 << 18)
        if not data:
            raise _Closed
        self.buffer += data

    def until(self, mark: bytes) -> bytes:
        searched = 0
        while (at := self.buffer.find(mark, searched)) < 0:
            if len(self.buffer) > MAX_HEAD:
                raise _Closed
            searched = max(0, len(self.buffer) - len(mark))
            self.fill()
        head = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return head

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.fill()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def request(self) -> Request:
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            raise _Closed
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                chunks.append(self.exactly(size))
                self.until(b"\r\n")
            self.until(b"\r\n")
            body = b"".join(chunks)
        else:
            body = self.exactly(int(headers.get("content-length", "0")))
        return Request(words[0], words[1], headers, body, len(body), time.monotonic())


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


class Receiver:
    """An OTLP/HTTP server on a loopback port; `mode` and its options (see `answers.py`) can be switched at any time.

    A span is *taken* when the mode counts it as stored, which for `ackloss` and `drip` happens without the client ever
    hearing of it; `seen` counts spans of all complete requests, whatever the answer was.
    """

    def __init__(self, mode: str = "ok", *, port: int = 0, detail: str = "ids", **options: Any) -> None:
        if detail not in DETAILS:
            raise ValueError(f"detail must be one of {DETAILS}, not {detail!r}")
        self.detail = detail
        self._lock = threading.Condition()
        self._generation = 0
        self._acceptor: threading.Thread | None = None
        self._live: dict[int, socket.socket] = {}
        self._accepted = 0
        self._mode = "refuse"
        self._options: dict[str, Any] = {}
        with _bound(port) as found:
            # Bound a second time by number: a port that the system chose would be given back when listening stops.
            self._port: int = found.getsockname()[1]
            self._socket = _bound(self._port)
        self.reset()
        self.switch(mode, **options)

    # --- control -------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self._port

    @property
    def endpoint(self) -> str:
        """Base URL, without `/v1/traces`."""
        return f"http://127.0.0.1:{self._port}"

    def switch(self, mode: str, **options: Any) -> None:
        """Change the behaviour for all later requests. Connections held by the old mode are closed."""
        if mode != "refuse" and mode not in MODES:
            raise ValueError(f"mode must be refuse or one of {', '.join(MODES)}, not {mode!r}")
        with self._lock:
            was, self._mode, self._options = self._mode, mode, options
            self._generation += 1
            self._free_at = 0.0
            self._lock.notify_all()
        if was == "refuse" and mode != "refuse":
            self._socket.listen(512)
            self._acceptor = threading.Thread(target=self._accept, name="receiver", daemon=True)
            self._acceptor.start()
        elif mode == "refuse" and was != "refuse":
            self._stop_listening()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self.switch("refuse")
        self._socket.close()

    def reset(self) -> None:
        """Forget everything counted so far."""
        with self._lock:
            self._spans = self._bad = self._rejected = self._resent = 0
            self._ids: Counter[bytes] = Counter()
            self._seen: set[bytes] = set()
            self._requests: list[dict[str, Any]] = []
            self._decoded: list[dict[str, Any]] = []
            self._counts: Counter[str] = Counter()
            self._free_at = 0.0

    # --- what was received ---------------------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """Counts so far. `resent`: requests that carry at least one span seen in an earlier request."""
        with self._lock:
            return {
                "spans": self._spans,
                "unique": len(self._ids) if self.detail != "count" else self._spans,
                "duplicates": self._spans - len(self._ids) if self.detail != "count" else 0,
                "seen": len(self._seen),
                "bad_requests": self._bad,
                "rejected": self._rejected,
                "requests": len(self._requests),
                "resent": self._resent,
                "connections": self._accepted,
                "open_connections": len(self._live),
            }

    def requests(self) -> list[dict[str, Any]]:
        """One entry per complete request: monotonic time, status sent, spans, bytes, connection, headers."""
        with self._lock:
            return [dict(request) for request in self._requests]

    def spans(self) -> list[dict[str, Any]]:
        """The spans taken, decoded (needs `detail="spans"`); a span that came twice is here twice."""
        with self._lock:
            return list(self._decoded)

    def ids(self) -> dict[str, int]:
        """How often each span id was taken."""
        with self._lock:
            return {span_id.hex(): times for span_id, times in self._ids.items()}

    def wait(self, what: str, at_least: int, timeout: float) -> bool:
        """Wait until `report()[what] >= at_least`; false when the timeout passes first."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while self.report()[what] < at_least:
                left = deadline - time.monotonic()
                if left <= 0 or not self._lock.wait(left):
                    return bool(self.report()[what] >= at_least)
        return True

    # --- for the modes (answers.Keeper) --------------------------------------------------------------------------

    def take(self, request: Request) -> None:
        decoded = wire.decode(request.body, request.content_type) if self.detail == "spans" else []
        with self._lock:
            self._spans += len(request.ids)
            self._decoded += decoded
            if self.detail != "count":
                self._ids.update(request.ids)
            self._lock.notify_all()

    def note_rejected(self, count: int) -> None:
        with self._lock:
            self._rejected += count

    def count(self, what: str) -> int:
        """How often this was asked, this time included."""
        with self._lock:
            self._counts[what] += 1
            return self._counts[what]

    def pace(self, seconds: float) -> float:
        """Queue up `seconds` of work behind what is queued already; how long until it is done."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + seconds
            return self._free_at - now

    def hold(self, connection: socket.socket, seconds: float | None, generation: int) -> bool:
        """Wait, with the connection open. False when the client left or the mode changed before the time was over."""
        deadline = None if seconds is None else time.monotonic() + seconds
        poller = select.poll()
        poller.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while self._generation == generation:
            left = 0.1 if deadline is None else min(0.1, deadline - time.monotonic())
            if left <= 0:
                return True
            if poller.poll(left * 1000):
                return False
        return False

    # --- sockets -------------------------------------------------------------------------------------------------

    def _stop_listening(self) -> None:
        # On Linux shutdown takes a listening socket back to "bound": it refuses connections, keeps the port and can
        # listen again. It also wakes the thread in accept(), which closing the socket would not.
        self._socket.shutdown(socket.SHUT_RDWR)
        if self._acceptor is not None:
            self._acceptor.join(_JOIN_SECONDS)
        with self._lock:
            live = list(self._live.values())
        for connection in live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self._accepted += 1
                number = self._accepted
                self._live[number] = connection
            threading.Thread(target=self._serve, args=(connection, number), name=f"c{number}", daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        source = _Input(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep = True
            while keep:
                request = source.request()
                keep = self._answer(request, connection, number) and request.headers.get("connection") != "close"
        except (_Closed, OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._live.pop(number, None)
            connection.close()

    def _answer(self, request: Request, connection: socket.socket, number: int) -> bool:
        with self._lock:
            mode = MODES.get(self._mode)
            exchange = Exchange(self, connection, request, self._options, self._generation)
        entry = {
            "at": request.at,
            "status": 0,
            "spans": 0,
            "bytes": request.wire_bytes,
            "resent": False,
            "connection": number,
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
        }
        try:
            request.body = wire.decompress(request.body, request.headers.get("content-encoding", ""))
            request.ids = wire.span_ids(request.body, request.content_type)
        except (wire.Malformed, wire.Unsupported, ValueError) as error:
            with self._lock:
                self._bad += 1
                self._requests.append(entry)
            return exchange.reply(415 if isinstance(error, wire.Unsupported) else 400)
        entry["spans"] = len(request.ids)
        with self._lock:
            if self.detail != "count":
                entry["resent"] = not self._seen.isdisjoint(request.ids)
                self._seen.update(request.ids)
            self._resent += bool(entry["resent"])
            self._requests.append(entry)
            self._lock.notify_all()
        if mode is None:
            return exchange.reset()
        try:
            return mode(exchange)
        finally:
            entry["status"] = exchange.status


# --- as a process of its own -----------------------------------------------------------------------------------------

_COMMANDS = ("switch", "reset", "report", "requests", "spans", "ids", "wait")


def _obey(receiver: Receiver, control: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            for line in stream:
                name, positional, named = json.loads(line)
                try:
                    answer = {"is": getattr(receiver, name)(*positional, **named) if name in _COMMANDS else None}
                except (ValueError, TypeError) as error:
                    answer = {"error": str(error)}
                stream.write(json.dumps(answer) + "\n")
                stream.flush()

    while True:
        connection, _ = control.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Remote:
    """A receiver in another process. Same methods as `Receiver`."""

    def __init__(self, process: subprocess.Popen[str], port: int, control: int) -> None:
        self.process, self.port = process, port
        self.endpoint = f"http://127.0.0.1:{port}"
        self._socket = socket.create_connection(("127.0.0.1", control))
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        self._lock = threading.Lock()

    def _call(self, name: str, *positional: Any, **named: Any) -> Any:
        with self._lock:
            self._stream.write(json.dumps([name, positional, named]) + "\n")
            self._stream.flush()
            answer = json.loads(self._stream.readline() or '{"error": "the receiver process ended"}')
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["is"]

    def switch(self, mode: str, **options: Any) -> None:
        self._call("switch", mode, **options)

    def reset(self) -> None:
        self._call("reset")

    def report(self) -> dict[str, Any]:
        return dict(self._call("report"))

    def requests(self) -> list[dict[str, Any]]:
        return list(self._call("requests"))

    def spans(self) -> list[dict[str, Any]]:
        return list(self._call("spans"))

    def ids(self) -> dict[str, int]:
        return dict(self._call("ids"))

    def wait(self, what: str, at_least: int, timeout: float) -> bool:
        return bool(self._call("wait", what, at_least, timeout))

    def cpu_seconds(self) -> float:
        """CPU time the receiver's process has used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> str:
        """Send SIGTERM; the line of totals the process prints."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=_JOIN_SECONDS)
        self._stream.close()
        self._socket.close()
        return out.strip()


def start(mode: str = "ok", *, detail: str = "ids", **options: Any) -> Remote:
    """Start a receiver process and wait until it listens."""
    command = [sys.executable, "-m", "tests.faults.receivers", "--mode", mode, "--detail", detail]
    command += ["--options", json.dumps(options), "--end-with-stdin"]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the receiver process did not start")
    ports = json.loads(line)
    return Remote(process, ports["port"], ports["control"])


def _end_with_stdin(finish: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    finish()


def _main(arguments: Iterator[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="ok", help=f"refuse, {', '.join(MODES)}")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--detail", choices=DETAILS, default="ids")
    parser.add_argument("--options", type=json.loads, default={}, help="options of the mode, as a JSON object")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does")
    chosen = parser.parse_args(list(arguments) if arguments is not None else None)
    receiver = Receiver(chosen.mode, port=chosen.port, detail=chosen.detail, **chosen.options)
    control = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_obey, args=(receiver, control), daemon=True).start()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    if chosen.end_with_stdin:
        threading.Thread(target=_end_with_stdin, args=(done.set,), daemon=True).start()
    print(json.dumps({"port": receiver.port, "control": control.getsockname()[1]}), flush=True)
    done.wait()
    totals = receiver.report()
    with suppress(BrokenPipeError):
        print(" / ".join(f"{totals[name]}" for name in ("spans", "unique", "duplicates", "bad_requests")), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main()
