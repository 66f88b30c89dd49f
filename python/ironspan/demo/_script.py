"""What is asked, said and written in the demo: the prompts, the models' answers, the coder's program."""

from __future__ import annotations

import json
from typing import Any

from ironspan.demo._model import Reply, tool_call

__all__ = [
    "CODER",
    "DELEGATE",
    "DELEGATIONS",
    "FACTS",
    "GIVEN_UP",
    "MANAGER",
    "PLAN",
    "PROGRAM",
    "QUESTION",
    "RESEARCHER",
    "RUN_PYTHON",
    "TASKS",
    "WEB_QUERY",
    "answer",
    "arguments",
    "repaired",
    "written",
]

QUESTION = (
    "Compare Postgres and SQLite for storing agent traces on one machine. How much space do a million spans take?"
)

MANAGER = (
    "You are the manager of a small team. Plan first, then delegate: the researcher finds facts in our notes and on "
    "the web, the coder measures. Let them work side by side. Answer in three sentences, with numbers."
)
RESEARCHER = "You are a researcher. Summarise what you are given in at most four facts, one a line. Invent nothing."
CODER = (
    "You are a coder. Write one short Python program for the task and run it. Print one line of JSON. When it fails, "
    "repair it and run it again."
)

TASKS = {
    "researcher": "Facts on Postgres and SQLite for storing the spans of agents: writers, servers, readers, limits.",
    "coder": "Measure how many bytes a span with a prompt takes, plain and compressed, and project it to a million.",
}
PLAN = "The researcher collects the facts while the coder measures the size of a span."
DELEGATIONS = tuple(tool_call("delegate", worker=worker, task=task) for worker, task in TASKS.items())
WEB_QUERY = "sqlite or postgres for local traces"

FACTS = (
    "- SQLite is one file without a server; many readers go on while one writer appends.\n"
    "- Postgres is a server to operate; it takes many writers at once.\n"
    "- On one machine a local file is enough until several machines write traces.\n"
    "- Spans can be sent to a collector by OTLP later, so the choice can be changed."
)
#: What the coder says when its programs do not run.
GIVEN_UP = "The size could not be measured: both programs need packages that the sandbox does not have."


def _function(name: str, description: str, **properties: str) -> list[dict[str, Any]]:
    """The definition of a tool, in the shape of the OpenAI API."""
    parameters = {
        "type": "object",
        "properties": {each: {"type": "string", "description": text} for each, text in properties.items()},
        "required": list(properties),
    }
    return [{"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}]


DELEGATE = _function("delegate", "Gives a task to a worker.", worker="researcher or coder", task="what to do")
RUN_PYTHON = _function("run_python", "Runs a Python program and returns what it prints.", code="the program")

_BODY = """\
import json
import random
import zlib
{extra}
WORDS = "agent answer cost database disk error file index latency model prompt query retry row server tool user".split()


def span(number):
    return {{
        "trace_id": f"{{number // 20:032x}}",
        "span_id": f"{{number:016x}}",
        "name": ("plan", "web_search", "run_python", "summarise")[number % 4],
        "start_ns": 1_790_000_000_000_000_000 + number * 1_000_003,
        "duration_ns": 1_000_000 + number * 7_919 % 900_000_000,
        "input": " ".join(random.Random(number).choices(WORDS, k=80)),
    }}


rows = [json.dumps(span(number)) for number in {numbers}]
plain = sum(len(row) for row in rows)
packed = sum(len(zlib.compress("\\n".join(rows[at : at + 50]).encode())) for at in range(0, len(rows), 50))
print(json.dumps({{
    "spans": len(rows),
    "bytes a span": plain // len(rows),
    "bytes compressed": packed // len(rows),
    "megabytes a million": plain // len(rows),
}}))
"""
#: The first attempt wants a progress bar, which the sandbox does not have.
PROGRAM = _BODY.format(extra="\nfrom tqdm import tqdm\n", numbers="tqdm(range(2000))")
_REPAIRED = _BODY.format(extra="", numbers="range(2000)")
_STILL_WRONG = _BODY.format(extra="\nfrom rich.progress import track\n", numbers="track(range(2000))")


def written() -> Reply:
    """The coder's first attempt."""
    return Reply("I build 2,000 spans and weigh them.", (tool_call("run_python", code=PROGRAM),))


def repaired(fail_hard: bool) -> Reply:
    """The coder's second attempt; with ``fail_hard`` it wants another package that is not there."""
    if fail_hard:
        return Reply("tqdm is missing; rich can draw the bar.", (tool_call("run_python", code=_STILL_WRONG),))
    return Reply("tqdm is missing; the bar is not needed.", (tool_call("run_python", code=_REPAIRED),))


def arguments(text: str) -> dict[str, Any]:
    """The arguments of a call, read."""
    read: dict[str, Any] = json.loads(text)
    return read


def answer(measured: str) -> str:
    """The manager's answer, with what the coder measured."""
    numbers = json.loads(measured)
    return (
        "On one machine SQLite is enough: one file without a server, for many readers. "
        "Postgres takes many writers at once, but it is a server to operate; the choice can be changed once several "
        "machines write traces, since spans can be sent to a collector by OTLP later. "
        f"A span takes {numbers['bytes a span']} bytes, {numbers['bytes compressed']} bytes compressed, so a million "
        f"spans take {numbers['megabytes a million']} megabytes."
    )
