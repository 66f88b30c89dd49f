"""What both stub servers share: a threaded HTTP server on a free loopback port, JSON answers and event streams."""

from __future__ import annotations

import json
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.conformance.servers.script import PATIENCE_SECONDS, Script

__all__ = ["Handler", "serve"]


class Handler(BaseHTTPRequestHandler):
    """Reads JSON requests and has them answered by `reply`."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[Script]

    def reply(self, path: str, asked: dict[str, Any]) -> None:
        """Answers the request `asked`, which came to `path`."""
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            self.reply(self.path.partition("?")[0], json.loads(body))
        except (BrokenPipeError, ConnectionResetError):
            # A client that drops a stream: the program's business, not ours.
            self.close_connection = True

    def send_json(self, status: int, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_events(self) -> None:
        """Starts a stream of server-sent events, in chunked transfer encoding."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_event(self, data: dict[str, Any] | str, event: str = "") -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self._chunk((f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode())

    def end_events(self) -> None:
        self._chunk(b"")

    def break_off(self) -> None:
        """Closes the connection in the middle of the stream."""
        self.wfile.flush()
        self.close_connection = True

    def hang(self) -> None:
        """Sends nothing more until the client goes away."""
        self.wfile.flush()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if select.select([self.connection], [], [], 1.0)[0] and not self.connection.recv(4096):
                break
        self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that resets its connection: programs that end or cancel do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(handler: type[Handler], script: Script) -> str:
    """Starts a server with a script; its base URL. It lives as long as the process."""
    bound = type(handler.__name__, (handler,), {"script": script})
    server = _Server(("127.0.0.1", 0), bound)
    threading.Thread(target=server.serve_forever, name="provider", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
