"""Small programs that benches start as processes of their own, where a fresh process is the question.

`run(program, subject, ...)` starts `python -m benches.programs`, waits for it, and returns what it printed as JSON
together with the wall time between the end of its work and the end of the process. CLOCK_MONOTONIC is common to all
processes on Linux, so that two clock readings in two processes can be subtracted.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.measure import ROOT

__all__ = ["run"]


def run(program: str, subject: str, *, limit: float = 120.0, **options: Any) -> dict[str, Any]:
    """Run one program for one subject. `exit_seconds` in the result: from its last statement to its death."""
    command = [sys.executable, "-m", "benches.programs", program, subject, json.dumps(options)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False
    )
    ended = time.monotonic()
    if not result.stdout.strip():
        raise RuntimeError(f"{program} {subject} printed nothing, ended with {result.returncode}: {result.stderr}")
    printed = dict(json.loads(result.stdout.splitlines()[-1]))
    printed["exit_seconds"] = ended - printed.get("finished", ended)
    printed["exit_code"] = result.returncode
    return printed


class _Memory:
    """Peak resident memory of this process above what it was at the start, in MiB."""

    def __init__(self) -> None:
        # 5 resets the high-water mark of resident memory (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")
        self.before = self.read("VmRSS")

    @staticmethod
    def read(field: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
        raise LookupError(field)

    def growth(self) -> float:
        return self.read("VmHWM") - self.before


def _subject(name: str, endpoint: str) -> Any:
    from benches import subjects

    made: dict[str, Callable[[str], subjects.Subject]] = {
        "ironspan": subjects.ironspan,
        "opentelemetry-python": subjects.opentelemetry,
    }
    return made[name](endpoint)


def burst(subject: str, endpoint: str, spans: int, threads: int) -> dict[str, Any]:
    """As many spans as the threads can make, then a flush; memory is watched all the while."""
    made = _subject(subject, endpoint)
    made.spans(100)
    made.flush()
    memory = _Memory()
    workers = [threading.Thread(target=made.spans, args=(spans // threads,)) for _ in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    made.flush()
    counts: dict[str, Any] = {}
    if subject == "ironspan":
        import ironspan

        counts = ironspan.stats()
    return {"seconds": seconds, "growth": memory.growth(), "stats": counts}


def pauses(subject: str, endpoint: str, spans: int, period: float) -> dict[str, Any]:
    """Wall time of each of many spans, paced, without the time this thread waited for a CPU."""
    made = _subject(subject, endpoint)
    with open("/proc/thread-self/schedstat", "rb", buffering=0) as schedstat:

        def queued() -> int:
            schedstat.seek(0)
            return int(schedstat.read().split()[1])

        taken = []
        due = time.monotonic()
        for _ in range(spans):
            due += period
            time.sleep(max(0.0, due - time.monotonic()))
            waited = queued()
            began = time.perf_counter_ns()
            made.spans(1)
            ended = time.perf_counter_ns()
            taken.append(max(0, ended - began - (queued() - waited)))
    taken.sort()
    summary = {"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100], "max": taken[-1]}
    # The exit is another bench's question, and would be a long one here.
    print(json.dumps(summary), flush=True)
    os._exit(0)


def leave(subject: str, endpoint: str, spans: int) -> dict[str, Any]:
    """Make spans and end the normal way."""
    if subject == "nothing":
        return {}
    _subject(subject, endpoint).spans(spans)
    return {}


def load(subject: str) -> dict[str, Any]:
    """Import a package: CPU time, and what it leaves open or running."""
    modules = {
        "ironspan": ["ironspan"],
        "opentelemetry-python": [
            "opentelemetry.sdk.trace.export",
            "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        ],
        "ddtrace": ["ddtrace.trace"],
    }[subject]

    def files() -> list[str]:
        found = []
        for number in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                continue
        return [name for name in found if not name.startswith("/proc/")]

    before_files, before_threads = files(), len(os.listdir("/proc/self/task"))
    began = time.process_time_ns()
    for module in modules:
        __import__(module)
    cpu = time.process_time_ns() - began
    return {
        "cpu_ms": cpu / 1e6,
        "threads": len(os.listdir("/proc/self/task")) - before_threads,
        "files": [name for name in files() if name not in before_files],
    }


def idle_span(subject: str, how: str, rounds: int) -> dict[str, Any]:
    """CPU of a span that is not recorded, one sample per round: bare, and with five attributes set on it."""
    import ironspan

    from benches.measure import caller_cpu

    if how == "unsampled":
        ironspan.init(service="bench", sample=0.0, exporters=[ironspan.exporters.Otlp(endpoint="http://127.0.0.1:9")])
    span = ironspan.span

    def bare(count: int) -> None:
        for _ in range(count):
            with span("chat"):
                pass

    def with_attributes(count: int) -> None:
        for _ in range(count):
            with span("chat") as s:
                s.set("gen_ai.system", "openai")
                s.set("gen_ai.request.model", "gpt-4o")
                s.set("user.tier", "gold")
                s.set("gen_ai.usage.input_tokens", 812)
                s.set("score", 0.75)

    return caller_cpu({"bare": bare, "with 5 attributes": with_attributes}, rounds=rounds, spans=2_000)


def many_requests(subject: str, framework: str, endpoint: str, first: int, more: int) -> dict[str, Any]:
    """Growth of resident memory in MB over `more` requests of a framework, after the `first`."""
    from benches.framework_requests import PROGRAMS as REQUESTS
    from benches.framework_subjects import flush, langchain_handler

    requests = REQUESTS[framework](None if subject == "nothing" else langchain_handler(subject, endpoint))

    def make(count: int) -> float:
        for begin in range(0, count, 100):
            requests(min(100, count - begin))
            if subject != "nothing":
                flush(subject)
        gc.collect()
        return _Memory.read("VmRSS")

    before = make(first)
    return {"growth": (make(more) - before) * 1.048576}


def crowd_of_requests(subject: str, endpoint: str, requests: int) -> dict[str, Any]:
    """Requests at once through one handler; the sink says what became of them."""
    from benches.framework_subjects import flush, langchain_handler
    from tests.support import crowd

    handler = langchain_handler(subject, endpoint)
    began = time.process_time()
    crowd.run(handler, requests)
    seconds = time.process_time() - began
    flush(subject)
    return {"seconds": seconds}


PROGRAMS: dict[str, Callable[..., dict[str, Any]]] = {
    program.__name__: program for program in (burst, pauses, leave, load, idle_span, many_requests, crowd_of_requests)
}

if __name__ == "__main__":
    answer = PROGRAMS[sys.argv[1]](sys.argv[2], **json.loads(sys.argv[3]))
    print(json.dumps({**answer, "finished": time.monotonic()}), flush=True)
