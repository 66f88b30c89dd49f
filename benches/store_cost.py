"""What does the local store cost: the caller, the thread that writes, and the disk?

The caller: a request of one workflow, one agent, two generations, two tools and six plain steps, CPU time of the
calling thread, with the store as the destination against the same with OTLP to a healthy collector. A process has one
engine, so each is measured in processes of its own, in turns.

The thread: spans with 400 bytes of attributes in traces of twelve, CPU time of `ironspan-store` alone.

The disk: the same store's size for each span; and that of chats of 20 turns, each of which sends the whole history,
against the bytes of their distinct messages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.measure import ROOT, Row, main, quartiles

__all__ = ["measure"]

_REQUEST_SPANS = 12


def _request() -> None:
    import ironspan

    with ironspan.workflow("request"), ironspan.agent("worker"):
        for _ in range(2):
            with ironspan.generation("gpt-4o", provider="openai") as call:
                call.usage(input=812, output=96)
            with ironspan.tool("search", arguments={"query": "weather"}):
                pass
        for _ in range(6):
            with ironspan.span("step") as step:
                step.set("user.tier", "gold")


def _child(kind: str, where: str, requests: int) -> None:
    """Nanoseconds of the caller for each request, one line for each round."""
    import ironspan

    if kind == "store":
        ironspan.init(service="bench", store=where)
    else:
        ironspan.init(service="bench", exporters=[ironspan.exporters.Otlp(traces_endpoint=where)])
    for number in range(requests // 20 + 1):
        began = time.thread_time_ns()
        for _ in range(20):
            _request()
        used = time.thread_time_ns() - began
        if number:
            print(used / 20)
        ironspan.flush(30.0)


def _caller(quick: bool) -> list[Row]:
    from benches.subjects import sink_url
    from tests.faults import receivers

    sink = receivers.start("ok", detail="count")
    samples: dict[str, list[float]] = {"otlp": [], "store": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(4 if quick else 12):
            for kind in ("otlp", "store") if turn % 2 else ("store", "otlp"):
                where = sink_url(sink) if kind == "otlp" else str(Path(folder, "traces.db"))
                command = [sys.executable, "-m", "benches.store_cost", "--child", kind, where, "600"]
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
                samples[kind] += [float(line) for line in done.stdout.split()]
    what = f"caller CPU of a request of {_REQUEST_SPANS} spans"
    rows = []
    middles = {}
    for kind, values in samples.items():
        low, middles[kind], high = quartiles([value / 1e3 for value in values])
        rows.append(Row(what, kind, middles[kind], "us", low, high))
    ratio = middles["store"] / middles["otlp"]
    note = "agents, model calls, tools and roots are noted when they begin"
    rows.append(Row(what, "store / otlp", ratio, "x", bar="at most 1.1 x", passed=ratio <= 1.1, note=note))
    return rows


def _thread_ticks(name: str) -> float:
    """CPU seconds of the thread of that name."""
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text()
        if f"({name})" in fields:
            parts = fields[fields.rindex(")") + 2 :].split()
            return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _write(where: str, spans: int) -> None:
    """CPU seconds of the store's thread for `spans` spans, as one line."""
    import ironspan

    ironspan.init(service="bench", store=where)
    text = "x" * 80
    for done in range(0, spans, 12):
        with ironspan.span("request"):
            for _ in range(11):
                with ironspan.span("chat") as step:
                    for key in ("a", "b", "c", "d"):
                        step.set(f"attribute.{key}", text)
        if done % 24_000 == 0:
            ironspan.flush(60.0)
    report = ironspan.flush(60.0)
    assert report, ironspan.stats()
    # Read before the end of the process: afterwards there is no such thread.
    print(json.dumps({"cpu": _thread_ticks("ironspan-store"), "spans": ironspan.stats()["delivered"]}))


def _chat(where: str, chats: int) -> None:
    """Chats of 20 turns in which each call sends everything that was said. Prints the bytes of distinct messages."""
    import ironspan

    ironspan.init(service="bench", store=where)
    with ironspan.span("first"):
        pass
    distinct = 0
    for chat in range(chats):
        history: list[dict[str, str]] = []
        with ironspan.workflow("chat"):
            for turn in range(20):
                question = f"Question {turn} of chat {chat}: " + "What follows from that, and why? " * 30
                history.append({"role": "user", "content": question})
                text = f"Answer {turn} of chat {chat}: " + "From that follows what was said before. " * 30
                answer = {"role": "assistant", "content": text}
                with ironspan.generation("gpt-4o", messages=list(history)) as call:
                    call.output(answer)
                history.append(answer)
        distinct += sum(len(message["content"]) for message in history)
        ironspan.flush(30.0)
    assert ironspan.flush(30.0)
    print(distinct)


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benches.store_cost", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def _size(store: Path) -> int:
    """Bytes of the file, with what is still in its log."""
    return sum(path.stat().st_size for path in store.parent.iterdir() if path.name.startswith(store.name))


def measure(quick: bool) -> list[Row]:
    rows = _caller(quick)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "spans", "traces.db")
        told = json.loads(_run("--write", str(store), str(60_000 if quick else 240_000)))
        cpu, disk = told["cpu"] / told["spans"] * 1e6, _size(store) / told["spans"]
        what = "store thread, CPU per 400 B span"
        rows.append(Row(what, "ironspan", cpu, "us", bar="at most 15 us", passed=cpu <= 15))
        rows.append(Row("disk per 400 B span", "ironspan", disk, "B", bar="at most 650 B", passed=disk <= 650))
        chat, empty = Path(folder, "chat", "traces.db"), Path(folder, "empty", "traces.db")
        # Several, because a file grows by whole pages; the tables of an empty store are no content.
        distinct = int(_run("--chat", str(chat), "20"))
        _run("--chat", str(empty), "0")
        times = (_size(chat) - _size(empty)) / distinct
        note = f"20 chats, {distinct} bytes of distinct messages; less an empty store of {_size(empty)}"
        what = "disk of chats of 20 turns / their text"
        rows.append(Row(what, "ironspan", times, "x", bar="at most 1.5 x", passed=times <= 1.5, note=note))
    return rows


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--child", kind, where, requests]:
            _child(kind, where, int(requests))
        case ["--write", where, spans]:
            _write(where, int(spans))
        case ["--chat", where, chats]:
            _chat(where, int(chats))
        case _:
            main(measure)
