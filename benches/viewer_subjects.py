"""The viewers that are measured: `ironspan view`, Arize Phoenix and MLflow, real programs, each with its own store.

A `Viewer` is filled once with traces, and started as often as wanted. All of them get the same traces, as OTLP:
ironspan by `ironspan import`, the others over HTTP. They run with their defaults, on loopback, and are told to ask
nothing of other machines.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.measure import ROOT

__all__ = ["IronspanView", "MLflow", "Phoenix", "Running", "Traces", "Viewer", "programs"]

_START_LIMIT = 300.0
_FILL_LIMIT = 600.0


def programs(name: str) -> Path | None:
    """Where the programs of a peer are; installs them the first time. None when that cannot be done."""
    done = subprocess.run([ROOT / "scripts" / "viewer", name], stdout=subprocess.PIPE, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


@dataclass
class Traces:
    """Traces as a file of OTLP JSON, one trace a line, and the ids of one of them."""

    file: Path
    trace: str
    root: str

    @classmethod
    def read(cls, file: Path, trace: str) -> Traces:
        """Finds the first span of `trace` in the file."""
        for span in _spans(file):
            if span["traceId"] == trace and not span.get("parentSpanId"):
                return cls(file, trace, span["spanId"])
        raise ValueError(f"{trace} is not in {file}")

    def count(self) -> int:
        return sum(1 for _ in _spans(self.file))

    def requests(self) -> Iterator[bytes]:
        """The lines as OTLP/HTTP requests in protobuf, which is all that Phoenix understands."""
        from google.protobuf import json_format
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for line in self.file.read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            for span in _spans_of(document):
                # OTLP has ids in hexadecimal, protobuf's own JSON takes bytes in base64.
                for holder in (span, *span.get("links", [])):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
            yield json_format.ParseDict(document, ExportTraceServiceRequest()).SerializeToString()


def _spans_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def _spans(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield from _spans_of(json.loads(line))


@dataclass
class Running:
    """A started viewer: `ready` are the seconds from the start of its command to an answered page and its data."""

    url: str
    process: subprocess.Popen[bytes]
    ready: float

    def tree(self) -> list[int]:
        """Its process and all below."""
        below: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                fields = (folder / "stat").read_text()
                parent = int(fields[fields.rindex(")") + 2 :].split()[1])
                below.setdefault(parent, []).append(int(folder.name))
        found = [self.process.pid]
        for process in found:
            found += below.get(process, [])
        return found

    def memory(self) -> float:
        """Resident memory of the tree, MB."""
        pages = 0
        for process in self.tree():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Viewer:
    """One viewer in `folder`. Subclasses say how it is started, asked and filled."""

    name = ""
    # What a row of a trace's tree matches, once the trace is shown.
    row = ""
    # What has to be known of how it shows a large trace.
    note = ""

    def __init__(self, folder: Path, bin: Path | None = None) -> None:
        self.folder = folder
        self.bin = bin
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, port: int) -> Sequence[str | Path]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def data(self, url: str) -> urllib.request.Request:
        """What its first page asks for."""
        raise NotImplementedError

    def fill(self, traces: Traces) -> None:
        raise NotImplementedError

    def page(self, url: str, traces: Traces) -> str:
        """The address of a trace."""
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Starts it and waits until it is ready; ends it with all of its processes."""
        [port] = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
        log = self.folder / "log"
        with log.open("ab") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                self.command(port),
                cwd=self.folder,
                env={**kept, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        viewer = Running(url, process, 0.0)
        try:
            for request in (urllib.request.Request(url + "/"), self.data(url)):
                while not _answers(request):
                    late = time.monotonic() - began > _START_LIMIT
                    if late or process.poll() is not None:
                        end = log.read_text(errors="replace")[-2_000:]
                        raise RuntimeError(f"{self.name} {'is not ready' if late else 'has ended'}: {end}")
                    time.sleep(0.002)
            viewer.ready = time.monotonic() - began
            yield viewer
        finally:
            _end(viewer)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(answer.status == 200 and answer.read())
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False


def _end(viewer: Running) -> None:
    _, *below = viewer.tree()
    viewer.process.terminate()
    try:
        viewer.process.wait(15)
    except subprocess.TimeoutExpired:
        viewer.process.kill()
        viewer.process.wait()
    # Those that have not ended with it.
    for process in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return bytes(answer.read())


class IronspanView(Viewer):
    """`ironspan view`."""

    name = "ironspan"
    row = ".tl-row"

    @property
    def store(self) -> Path:
        return self.folder / "traces.db"

    def command(self, port: int) -> Sequence[str | Path]:
        # The command as it is installed, if it is: `python -m ironspan` is the same.
        installed = Path(sys.executable).with_name("ironspan")
        program = [installed] if installed.exists() else [sys.executable, "-m", "ironspan"]
        return [*program, "view", "--no-open", "--port", str(port), "--store", self.store]

    def data(self, url: str) -> urllib.request.Request:
        return urllib.request.Request(f"{url}/api/v1/traces?since=24h&facets=1")

    def fill(self, traces: Traces) -> None:
        command = [sys.executable, "-m", "ironspan", "import", "--store", str(self.store), str(traces.file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def page(self, url: str, traces: Traces) -> str:
        return f"{url}/#/t/{traces.trace}"


class _Peer(Viewer):
    """One that is filled over OTLP while it runs."""

    def environment(self) -> dict[str, str]:
        # Its packages are those of its own environment.
        return {"PYTHONPATH": ""}

    def fill(self, traces: Traces) -> None:
        with self.running() as viewer:
            self.send(viewer, traces)

    def send(self, viewer: Running, traces: Traces) -> None:
        """Returns when it has all of them."""
        for body in traces.requests():
            headers = {"Content-Type": "application/x-protobuf", **self.headers()}
            _post(f"{viewer.url}/v1/traces", body, headers)
        # Phoenix answers first and writes later.
        spans, until = traces.count(), time.monotonic() + _FILL_LIMIT
        while (held := self.held(viewer.url)) < spans:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} holds {held} of {spans} spans")
            time.sleep(0.5)

    def headers(self) -> dict[str, str]:
        return {}

    def held(self, url: str) -> int:
        """How many spans it has taken in."""
        raise NotImplementedError


class Phoenix(_Peer):
    """`phoenix serve`, with SQLite in its working folder."""

    name = "Phoenix"
    note = "the first 1,000 spans; the rest by a button"
    row = "text=/^(worker_\\d|think|open_page)(_\\d+)?$/"

    def command(self, port: int) -> Sequence[str | Path]:
        [self._grpc] = free_ports(1)
        self._port = port
        assert self.bin is not None
        return [self.bin / "phoenix", "serve"]

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self._port),
            "PHOENIX_GRPC_PORT": str(self._grpc),
            "PHOENIX_WORKING_DIR": str(self.folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }

    def data(self, url: str) -> urllib.request.Request:
        query = json.dumps({"query": "{ projects { edges { node { id name recordCount } } } }"})
        return urllib.request.Request(f"{url}/graphql", query.encode(), {"Content-Type": "application/json"})

    def held(self, url: str) -> int:
        with urllib.request.urlopen(self.data(url), timeout=60) as answer:
            projects = json.load(answer)["data"]["projects"]["edges"]
        return sum(project["node"]["recordCount"] for project in projects)

    def page(self, url: str, traces: Traces) -> str:
        # That of a trace alone shows the list of all.
        return f"{url}/redirects/spans/{traces.root}"


class MLflow(_Peer):
    """`mlflow server`, with SQLite."""

    name = "MLflow"
    row = Phoenix.row

    def command(self, port: int) -> Sequence[str | Path]:
        assert self.bin is not None
        store = f"sqlite:///{self.folder}/mlflow.db"
        files = self.folder / "artifacts"
        address = ["--host", "127.0.0.1", "--port", str(port)]
        return [self.bin / "mlflow", "server", *address, "--backend-store-uri", store, "--artifacts-destination", files]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

    def data(self, url: str) -> urllib.request.Request:
        return urllib.request.Request(f"{url}/ajax-api/2.0/mlflow/experiments/search?max_results=25")

    def headers(self) -> dict[str, str]:
        # The experiment that every store has.
        return {"x-mlflow-experiment-id": "0"}

    def held(self, url: str) -> int:
        # It answers a request when all of it is in the database.
        return sys.maxsize

    def page(self, url: str, traces: Traces) -> str:
        return f"{url}/#/experiments/0/traces?selectedEvaluationId=tr-{traces.trace}"
