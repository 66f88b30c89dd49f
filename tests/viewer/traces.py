"""Records what the tests of the page look at: `python -m tests.viewer.traces STORE SET...`, a process of its own.

Prints the ids as JSON: `{"demo": {"trace": ..., "spans": {name: id}}, ...}`. Times are given, so that figures in the
page can be compared with what was recorded. What ironspan never writes by itself (rings of parents, ends that are
missing) the tests put in front of the page as answers of the server.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import ironspan

from tests.viewer.payloads import PAYLOADS

__all__ = ["HOSTILE", "SETS"]

MS = 1_000_000
# What must stay text wherever it appears: markup, a direction override, control characters, an emoji, a long word.
HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>\u202eevil\x07\x1b[31m😀 " + "w" * 200


class Recorder:
    """Spans with given times, in milliseconds after `begin`; their ids by name, of equal names the first."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.trace = ""
        self.spans: dict[str, str] = {}

    @contextlib.contextmanager
    def step(self, span: ironspan.Span, begin: float, end: float, error: str | None = None) -> Iterator[ironspan.Span]:
        span.start(self.begin + int(begin * MS))
        self.trace = span.trace_id
        self.spans.setdefault(span.name, span.span_id)
        with ironspan.attach(span):
            yield span
        if error is not None:
            # Raised, so that there is a stack.
            try:
                raise TimeoutError(error)
            except TimeoutError as raised:
                span.error(raised)
        span.end(self.begin + int(end * MS))

    def found(self) -> dict[str, Any]:
        return {"trace": self.trace, "spans": self.spans}


def message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def call(name: str, **arguments: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def demo(begin: int) -> dict[str, Any]:
    """Two agents side by side under a third; two tools fail and are tried again until they work."""
    r = Recorder(begin)
    question = "Compare Postgres and SQLite for storing 1M agent spans; write a benchmark and run it."
    with (
        ironspan.scope(session="sess-demo", user="user-42", tags=["prod"]),
        r.step(ironspan.workflow("support_workflow", input=question), 0, 9420) as root,
    ):
        with r.step(ironspan.agent("manager", input=question), 10, 9410) as manager:
            plan = ironspan.generation(
                "gpt-4o",
                provider="openai",
                name="plan",
                messages=[message("system", "Route."), message("user", question)],
            )
            with r.step(plan, 20, 1200) as span:
                answer = message("assistant", "Both at once.") | {"tool_calls": [call("delegate", worker="researcher")]}
                span.output(answer).usage(input=412, output=96).finish("tool_calls")
            with r.step(ironspan.agent("researcher", input="collect facts"), 1220, 5530):
                with r.step(ironspan.retrieval("sqlite or postgres", name="vector_search"), 1230, 1470) as span:
                    span.documents([{"id": "note-17", "content": "One writer, many readers.", "score": 0.91}])
                for k in range(2):
                    with r.step(
                        ironspan.tool("web_search", arguments={"q": "wal"}),
                        1480 + 880 * k,
                        2280 + 880 * k,
                        error="web_search timed out after 800 ms",
                    ):
                        pass
                with r.step(ironspan.tool("web_search", arguments={"q": "wal"}), 3400, 3810) as span:
                    span.output({"results": ["Write-Ahead Logging"]})
                with r.step(
                    ironspan.generation(
                        "gpt-4o-mini", provider="openai", name="summarise", messages=[message("user", "Sum up.")]
                    ),
                    3830,
                    5520,
                ) as span:
                    span.output(message("assistant", "## Findings\n\n- **SQLite**: one writer")).usage(
                        input=1384, output=212
                    )
            with r.step(ironspan.agent("coder", input="write a benchmark"), 1225, 7415):
                history = [message("user", "write a benchmark")]
                with r.step(
                    ironspan.generation("gpt-4o", provider="openai", name="write_code", messages=history), 1230, 3680
                ) as span:
                    span.output(message("assistant", "import tqdm")).usage(input=655, output=540)
                with r.step(
                    ironspan.tool("run_python", arguments={"file": "b.py"}), 3690, 5010, error="No module named 'tqdm'"
                ):
                    pass
                history += [message("assistant", "import tqdm"), message("user", "That failed: no tqdm.")]
                with r.step(
                    ironspan.generation("gpt-4o", provider="openai", name="fix_code", messages=history), 5020, 6000
                ) as span:
                    span.output(message("assistant", "import time")).usage(input=1320, output=130)
                with r.step(ironspan.tool("run_python", arguments={"file": "b.py"}), 6010, 7390) as span:
                    span.output("median 0.4 ms")
            with r.step(
                ironspan.generation(
                    "gpt-4o", provider="openai", name="synthesise", messages=[message("user", "Write it up.")]
                ),
                7430,
                8970,
            ) as span:
                span.output(message("assistant", "SQLite holds 1M spans in one file.")).usage(input=2210, output=164)
            manager.output("SQLite holds 1M spans in one file.")
        root.output("SQLite holds 1M spans in one file.")
    return r.found()


def failed(begin: int) -> dict[str, Any]:
    r = Recorder(begin)
    error = "worker failed: rate limited (429)"
    with (
        ironspan.scope(session="sess-demo"),
        r.step(ironspan.workflow("coder_request", input="Run the nightly job"), 0, 2000, error=error),
        r.step(ironspan.agent("coder"), 20, 1900, error=error),
    ):
        pass
    return r.found()


def hostile(begin: int) -> dict[str, Any]:
    r = Recorder(begin)
    with (
        ironspan.scope(session="<b>s</b>/..?#&", user=HOSTILE, tags=[HOSTILE[:40]]),
        r.step(
            ironspan.agent(HOSTILE, input=HOSTILE, attributes={HOSTILE: HOSTILE, "__proto__": "x"}),
            0,
            1000,
            error=HOSTILE,
        ),
    ):
        with r.step(ironspan.tool(HOSTILE, arguments={HOSTILE: HOSTILE}), 10, 300) as span:
            span.output("data:image/png;base64," + "iVBORw0KGgo" * 2000)
            r.spans["image"] = span.span_id
        messages = [
            message(
                "user", "[a](javascript:window.pwned=1) ![b](https://outside.invalid/p.png) <b>bold</b> " + HOSTILE
            ),
            message("user", "long " * 200_000),
        ]
        with r.step(ironspan.generation(HOSTILE, name="answer", messages=messages), 400, 700) as span:
            span.output(
                message("assistant", "[a](javascript:window.pwned=1) ![b](https://outside.invalid/p.png) " + HOSTILE)
            )
    return r.found()


def big(begin: int, spans: int = 10_000) -> dict[str, Any]:
    """Many small runs of seven agents, one after the other; the last span is called `last_step`."""
    r = Recorder(begin)
    with r.step(ironspan.workflow("deep_research_loop"), 0, spans * 10.0):
        made, at = 2, 1.0
        while made < spans:
            worker = ironspan.agent(f"worker_{made % 7}")
            with r.step(worker, at, at + 90):
                made += 1
                for k in range(min(9, spans - made)):
                    name = ("fetch_page", "parse", "store")[k % 3]
                    with r.step(
                        ironspan.tool(name), at + 9 * k, at + 9 * k + 8, error="HTTP 503" if made % 500 == 0 else None
                    ):
                        made += 1
            at += 95
        with r.step(ironspan.tool("last_step"), spans * 10.0 - 5, spans * 10.0 - 1):
            pass
    return r.found()


def history(begin: int, traces: int = 60) -> dict[str, Any]:
    """A day of small runs, one in six with an error that was recovered from."""
    found: dict[str, Any] = {}
    for k in range(traces):
        r = Recorder(begin - k * 20 * 60_000 * MS)
        name = ("triage_ticket", "nightly_report", "rag_answer")[k % 3]
        with (
            ironspan.scope(session=f"sess-{k // 5}", user=f"user-{k % 7}"),
            r.step(ironspan.workflow(name, input=f"Question {k}"), 0, 2000 + 37 * k) as root,
            r.step(ironspan.agent("writer"), 5, 1990 + 37 * k),
        ):
            with r.step(
                ironspan.generation("gpt-4o-mini", provider="openai", messages=[message("user", f"Question {k}")]),
                10,
                800,
            ) as span:
                span.output(message("assistant", f"Answer {k}")).usage(input=200 + k, output=40)
            with r.step(ironspan.tool("sql_query"), 900, 1000, error="timed out after 100 ms" if k % 6 == 0 else None):
                pass
            root.output(f"Answer {k}")
        found = r.found()
    return found


def armed(kind: int, text: str) -> ironspan.Span:
    """A span with the text in every field that can be given at its beginning."""
    hostile: dict[str, Any] = {"attributes": {text: text, f"{text}.list": [text, {text: text}]}, "tags": [text]}
    if kind == 0:
        return ironspan.agent(text, role=text, description=text, input=text, **hostile)
    if kind == 1:
        return ironspan.tool(text, arguments={text: text}, call_id=text, description=text, **hostile)
    if kind == 2:
        return ironspan.retrieval(text, source=text, name=text, **hostile)
    tool = {"type": "function", "function": {"name": text, "description": text, "parameters": {}}}
    messages = [message("system", text), message("user", text), spoken(text)]
    return ironspan.generation(text, provider=text, name=text, messages=messages, tools=[tool], prompt=text, **hostile)


def spoken(text: str) -> dict[str, Any]:
    return {"role": text, "name": text, "content": text, "tool_calls": [call(text, **{text: text})]}


def payloads(begin: int) -> dict[str, Any]:
    """One trace in which each payload is a span, in every field that its kind has; kinds take turns."""
    r = Recorder(begin)
    with r.step(ironspan.workflow("payloads"), 0, 10_000):
        for k, text in enumerate(PAYLOADS):
            error = text if k % 3 == 0 else None
            with r.step(armed(k % 4, text), 30 * k, 30 * k + 25, error=error) as span:
                span.event(text, said=text, __proto__=text)
                if k % 4 == 2:
                    span.documents([{"id": text, "content": text, "score": 0.5, "metadata": {text: text}}])
                elif k % 4 == 3:
                    span.output(spoken(text)).finish(text)
                else:
                    span.output(text)
    return r.found()


def payload_traces(begin: int) -> dict[str, Any]:
    """A small trace for each payload, so that it is the name of a trace, a session, a user, a tag and an agent."""
    found: dict[str, Any] = {}
    for k, text in enumerate(PAYLOADS):
        r = Recorder(begin - k * 1000 * MS)
        with (
            ironspan.scope(session=text, user=text, tags=[text]),
            r.step(ironspan.agent(text, input=text), 0, 500, error=text if k % 3 == 0 else None) as span,
        ):
            span.output(text)
        found = r.found()
    return found


def megabytes(begin: int) -> dict[str, Any]:
    """Messages of 5 MB: words, one word without an end, and marks that Markdown could be slow over."""
    r = Recorder(begin)
    texts = {"words": "long " * 1_000_000, "word": "ü" * 2_500_000, "marks": "**a [b](" * 625_000}
    with r.step(ironspan.agent("megabytes"), 0, 1000):
        for k, (name, text) in enumerate(texts.items()):
            span = ironspan.generation("gpt-4o", name=name, messages=[message("user", text)])
            with r.step(span, 100 * k, 100 * k + 90):
                span.output(message("assistant", text))
    return r.found()


def team(begin: int, agents: int = 60) -> dict[str, Any]:
    """Many agents under one, each with a model call and a tool, the second half called by the first."""
    r = Recorder(begin)
    with r.step(ironspan.agent("lead"), 0, agents * 100.0):
        for k in range(1, agents // 2):
            at = k * 100.0
            with r.step(ironspan.agent(f"member {k}"), at, at + 190):
                with r.step(ironspan.generation("gpt-4o-mini", name="think"), at + 5, at + 50):
                    pass
                helper, tool = ironspan.agent(f"helper {k}"), ironspan.tool(f"tool {k % 5}")
                with r.step(helper, at + 60, at + 180), r.step(tool, at + 70, at + 170):
                    pass
        with r.step(ironspan.agent("writer"), agents * 90.0, agents * 100.0 - 1):
            pass
    return r.found()


SETS: dict[str, Callable[[int], dict[str, Any]]] = {
    "demo": demo,
    "failed": failed,
    "hostile": hostile,
    "big": big,
    "history": history,
    "payloads": payloads,
    "payload_traces": payload_traces,
    "megabytes": megabytes,
    "team": team,
}


def main(store: str, *sets: str) -> None:
    ironspan.init(service="viewer-tests", store=store, limits={"buffer_bytes": 512 << 20})
    now = time.time_ns()
    # The demo is the newest; each set begins a minute before the one after it.
    found = {name: SETS[name](now - (k + 1) * 60_000 * MS) for k, name in enumerate(sets)}
    ironspan.shutdown(timeout=60)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
