"""Records a varied history by the public API: `python -m tests.store.varied STORE BEGIN TRACES SERVICE`.

What `ironspan demo --history` does not have is here: calls without tokens, without a price and without a model, tokens
that an agent or a workflow reports, errors that pass through several spans, cancelled runs, agents within agents,
handoffs, parents in other processes, spans that end after their parent, traces without a session, user or agent. Times
are given, and the service's name is the seed: the same arguments leave the same figures.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import ironspan

__all__ = ["SPREAD"]

SECOND = 1_000_000_000
#: The traces of a history begin within so long.
SPREAD = 6 * 3_600 * SECOND

MODELS = ("gpt-4o", "claude-sonnet-4-5", "ein eigenes Modell", "")
AGENTS = ("planner", "coder", "Überprüfer", "a:b c")
TOOLS = ("search", "run python", "db/query")
SESSIONS = (None, "s-1", "s-2", "s 3")
USERS = (None, "ada", "42")


class Trace:
    """One trace, on a clock of its own."""

    def __init__(self, rng: random.Random, at: int) -> None:
        self.rng, self.at = rng, at

    def spend(self) -> None:
        # From microseconds to minutes: percentiles of different orders of magnitude.
        self.at += int(10 ** self.rng.uniform(3, 10.5))

    def call(self, parent: Any) -> None:
        rng = self.rng
        make = rng.choice((ironspan.generation, ironspan.generation, ironspan.embedding))
        span = make(rng.choice(MODELS), parent=parent) if rng.random() < 0.9 else rerank(parent)
        span.start(self.at)
        self.spend()
        usage = {
            name: rng.randrange(5_000)
            for name, share in (("input", 0.8), ("output", 0.7), ("cached", 0.2), ("reasoning", 0.2))
            if rng.random() < share
        }
        span.usage(**usage)
        if rng.random() < 0.6:
            span.cost(total=rng.random() / 100)
        if rng.random() < 0.3:
            span.set("gen_ai.response.time_to_first_chunk", rng.randrange(1, 2_000) / 1_000)
        if rng.random() < 0.1:
            span.error(TimeoutError(f"no answer after {rng.randrange(100)} s"))
        span.end(self.at)

    def tool(self, parent: Any) -> bool:
        rng = self.rng
        span = ironspan.tool(rng.choice(TOOLS), parent=parent).start(self.at)
        self.spend()
        failed = rng.random() < 0.25
        if failed:
            span.error(rng.choice((ValueError("bad query"), KeyError("x"), OSError(5, "broken"))))
        elif rng.random() < 0.1:
            span._mark("cancelled")
        # Tools may report tokens; they are no model calls.
        if rng.random() < 0.2:
            span.usage(input=7)
        span.end(self.at)
        return failed

    def agent(self, parent: Any, depth: int, before: Any = None) -> tuple[Any, bool]:
        rng = self.rng
        links = [(before, "handoff")] if before is not None else []
        span = ironspan.agent(rng.choice(AGENTS), parent=parent, links=links).start(self.at)
        failed = False
        for _ in range(rng.randrange(4)):
            step = rng.random()
            if step < 0.45:
                self.call(span)
            elif step < 0.85:
                failed = self.tool(span) or failed
            elif depth < 3:
                failed = self.agent(span, depth + 1)[1] or failed
        if rng.random() < 0.3:
            span.usage(input=rng.randrange(9_000), output=rng.randrange(9_000)).cost(total=rng.random())
        # Half of them let an error of a step pass through, some fail of themselves, the others recover.
        failed = (failed and rng.random() < 0.5) or rng.random() < 0.05
        if failed:
            span.error(RuntimeError("a step failed"))
        self.spend()
        span.end(self.at)
        return span, failed

    def run(self) -> None:
        rng = self.rng
        kind = rng.random()
        if kind < 0.1:
            # A lone call, tool or retrieval, with nothing around it.
            rng.choice((self.call, self.tool))(None)
            return
        if kind < 0.2:
            # The caller is a process whose spans never come.
            parent: Any = f"00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-01"
            self.agent(parent, 1)
            return
        root = ironspan.workflow(
            rng.choice(("answer", "nightly report", "import")), tags=rng.sample(("a", "b", "c"), 2)
        )
        root.start(self.at)
        previous, failed = None, False
        for _ in range(rng.randrange(4)):
            previous, one = self.agent(root, 1, previous if rng.random() < 0.3 else None)
            failed = failed or one
        if kind < 0.4:
            # Only the embedding tells tokens, and only those that went in; the workflow tells both.
            span = ironspan.embedding("text-embedding-3-small", parent=root).start(self.at)
            self.spend()
            span.usage(input=rng.randrange(500)).end(self.at)
        if rng.random() < 0.5:
            root.usage(input=rng.randrange(50_000), output=rng.randrange(50_000))
        if rng.random() < 0.3:
            root.cost(total=rng.random())
        if failed and rng.random() < 0.5:
            root.error(RuntimeError("an agent failed"))
        elif rng.random() < 0.1:
            root._mark("cancelled")
        if rng.random() < 0.2:
            # A task in the background goes on after its request.
            late = ironspan.span("background", parent=root).start(self.at)
            root.end(self.at)
            self.spend()
            late.end(self.at)
        else:
            root.end(self.at)


def rerank(parent: Any) -> Any:
    return ironspan.span("rerank", kind="rerank", parent=parent)


def main(store: str, begin: str, traces: str, service: str) -> None:
    rng = random.Random(service)
    ironspan.init(service, store=store, exporters=[])
    for _ in range(int(traces)):
        with ironspan.scope(session=rng.choice(SESSIONS), user=rng.choice(USERS)):
            Trace(rng, int(begin) + rng.randrange(SPREAD)).run()
    assert ironspan.shutdown(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
