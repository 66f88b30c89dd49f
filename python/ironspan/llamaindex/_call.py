"""What stands for a call of LlamaIndex between its start and its end.

Turns of a run of several agents, and reranks, are begun and ended here too: no call of their own announces them.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any

import ironspan
from ironspan import Span, _core
from ironspan._runs import RUNS, Run
from ironspan.llamaindex import _describe

__all__ = [
    "WRAPPING",
    "Call",
    "around",
    "begin_turn",
    "calls",
    "close_rerank",
    "close_turn",
    "fail",
    "leave",
    "open_rerank",
    "parent_in",
    "say_last",
]


class Call(Run):
    """One call: a run that knows what its end has to write."""

    __slots__ = (
        "__weakref__",
        "acts",
        "call_id",
        "cancelled",
        "entered",
        "failure",
        "kind",
        "limit",
        "owner",
        "stopped",
        "streams",
        "turn",
    )

    def __init__(self, key: Hashable, parent: Hashable | None, span: Any, base: str) -> None:
        super().__init__()
        #: Verb that stands for it; empty for one that is not shown.
        self.kind = ""
        #: Whether its span is current while its code runs.
        self.entered = False
        #: Whether what it returned is a stream, which ends it.
        self.streams = False
        #: Whether an event has said that it was cancelled; the exit then looks like any other.
        self.cancelled = False
        #: The turn of the agent at work, for a run of several agents.
        self.turn: Call | None = None
        #: Id of the tool call, for the step that makes it.
        self.call_id: str | None = None
        #: What the old `CallbackManager` calls the act that it stands for.
        self.acts: frozenset[str] = frozenset()
        #: For the run of a workflow: whether a step ended it, the exception that left a step last, when its time is up.
        self.stopped = False
        #: Name of the class whose method it is.
        self.owner = ""
        self.failure: BaseException | None = None
        self.limit: float | None = None


#: Retrievals and tools of which the old `CallbackManager` told before the dispatcher announces them, by span id.
WRAPPING: weakref.WeakValueDictionary[str, Call] = weakref.WeakValueDictionary()


def calls(key: Any) -> Call | None:
    """The open call of that id."""
    run = RUNS.get(key)
    return run if isinstance(run, Call) else None


def around(id_: Any, *, is_step: bool = False) -> Call | None:
    """The open call that something of the dispatcher's happens in, by what the dispatcher takes for it.

    Before version 2 of workflows that is the last run that the code has started, for whatever it does while the run
    goes on. Only steps are parts of a run.
    """
    call = calls(id_)
    return None if call is not None and call.limit is not None and not is_step else call


def parent_in(above: Call | None, base: str) -> Any:
    """The span of the call around, where it is not what is current in this context anyway; else `None`."""
    if above is None or base != above.base or above.entered:
        return None
    return above.span if above.turn is None else above.turn.span


def fail(call: Call, error: BaseException | None) -> None:
    """Ends a call that has left the table by an exception."""
    outcome = "ok"
    if call.owns and isinstance(call.span, Span):
        ending = _describe.ending_of(error) if error is not None else "cancelled"
        if ending is None and error is not None:
            call.span._broke(error)
        else:
            outcome = ending or outcome
    RUNS.finish(call, outcome)


def say_last(call: Call) -> None:
    """Writes what a stream had said when it broke off."""
    if isinstance(call.span, Span) and call.metadata is not None:
        call.span._chunks(call.chunks)
        call.span.output(call.metadata.get("last"))


def leave(call: Call) -> None:
    """Makes current again what was current before the call."""
    if call.entered and isinstance(call.span, Span):
        call.span._leave()


def begin_turn(run: Call, agent: Any, event: Any) -> None:
    """Begins the turn of another agent in a run of several, and ends the one before."""
    if not isinstance(agent, str) or (run.turn is not None and run.turn.agent == agent):
        return
    before = run.turn
    close_turn(run)
    span = ironspan.agent(agent, parent=run.span, input=getattr(event, "input", None))
    if before is not None and before.span is not None:
        span.link(before.span, role="handoff")
    span.start()
    turn = Call(f"{run.key}/{agent}", None, span, run.base)
    turn.agent, turn.kind = agent, "agent"
    run.turn = turn


def close_turn(run: Call, outcome: str = "ok", error: BaseException | None = None) -> None:
    turn, run.turn = run.turn, None
    if turn is not None and isinstance(turn.span, Span):
        if error is not None and _describe.ending_of(error) is None:
            turn.span._broke(error)
        if outcome == "ok":
            turn.span.end()
        else:
            turn.span._end_as(outcome)


def open_rerank(id_: str, event: Any) -> None:
    """Begins a rerank, which only events tell of. What the reranker asks of a model hangs below it."""
    above = calls(id_)
    query = _describe.text_of(getattr(event, "query", None))
    model = getattr(event, "model_name", None)
    shown = next((run for run in RUNS.ancestry(above) if run.owns), None) if above is not None else None
    if isinstance(shown, Call) and shown.kind == "rerank" and isinstance(shown.span, Span):
        # The postprocessor's call is announced; where it is not (asynchronous ones), the event is all there is.
        if model:
            shown.span.set("gen_ai.request.model", model)
        return
    given = {"query": query, "nodes": len(getattr(event, "nodes", ())), "top_n": getattr(event, "top_n", None)}
    span = ironspan.span(model or "rerank", kind="rerank", input=given)
    call = Call(_rerank_key(id_), above.key if above is not None else None, span, _core._current_span_id())
    call.kind, call.entered = "rerank", True
    span.__enter__()
    RUNS.open(call)


def close_rerank(id_: str, nodes: Any = None) -> None:
    """Ends the rerank that was begun inside a call, if there is one."""
    call = calls(_rerank_key(id_))
    if call is None:
        return
    RUNS.close(call.key)
    try:
        if nodes is not None and isinstance(call.span, Span):
            call.span.documents(nodes)
    finally:
        leave(call)
        RUNS.finish(call)


def _rerank_key(id_: str) -> str:
    return f"{id_}/rerank"
