"""Which span is nearest: the user's current one, or the LangChain run whose code is executing.

Handlers never make a run's span current: a callback may have no matching end, and the framework runs a node's body
in a copy of the context anyway. LangChain itself leaves a trail, though. Around the code of a chain, a node or a tool
it sets ``var_child_runnable_config``, whose callback manager names the run. That variable and ours are copied together,
so both hold for the same piece of code, and this rule decides between them:

1. R is the open (or last ended) run that the variable names. Without R, the current span C is nearest.
2. R remembers which span was current when its start callback fired: its base. The body runs in a copy of that same
   context, so as long as C is the base, the body has opened nothing, and R is nearest.
3. Otherwise C was opened (or attached) inside R's body, and C is nearest.

A callback brings the id of its parent run P. There C may only win when it was opened inside P: R must be P or lie below
P, and C must differ from the base of R or of a run between R and P. So a span which the consumer of a generator holds
open around ``next()`` never becomes the parent of the nodes that happen to run inside that call.

Retrievers set no config around their body. Their run is put into a variable of our own, which counts only while that
run is open; nothing ever has to be reset.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from langchain_core.runnables.config import var_child_runnable_config

import ironspan
from ironspan._runs import NO_SPAN_ID, RUNS, Run, key_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ironspan import Span, SpanContext

__all__ = ["Carried", "ambient_run_parent", "carry", "enter_body", "innermost_run", "nearest_below"]

_body: ContextVar[Hashable | None] = ContextVar("ironspan_retriever_body", default=None)


def enter_body(run: Run) -> None:
    """Says that the code which follows in this context belongs to `run`, until `run` ends."""
    _body.set(run.key)


class Carried:
    """A run on its way to another thread: entered there, code of that thread belongs to it as it does here."""

    __slots__ = ("_key", "_token")

    def __init__(self, key: Hashable) -> None:
        self._key = key
        self._token: Token[Hashable | None] | None = None

    def __enter__(self) -> None:
        self._token = _body.set(self._key)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            # A worker thread keeps its context from task to task; the next one is somebody else's.
            _body.reset(self._token)


def carry() -> Carried | None:
    """What to take along into a thread that does not copy the context, if a run's code is executing here."""
    run = innermost_run()
    return None if run is None else Carried(run.key)


def innermost_run() -> Run | None:
    """The run whose code is executing here, if LangChain says so."""
    run = None
    config = var_child_runnable_config.get()
    if config is not None:
        run_id = getattr(config.get("callbacks"), "parent_run_id", None)
        if run_id is not None:
            run = RUNS.find(key_of(run_id))
    body = RUNS.get(_body.get())
    if body is None or run is body:
        return run
    if run is not None and any(above is body for above in RUNS.ancestry(run)):
        return run
    return body


def ambient_run_parent(current: Span | None = None) -> Span | SpanContext | None:
    """The parent for a span that starts here without an explicit one.

    Args:
        current: The current ironspan span; ``ironspan.current()`` when it is not given.

    Returns:
        The span of the LangChain run whose code is executing, or ``None`` when `current` is nearer.
    """
    run = innermost_run()
    if run is None or run.span is None:
        return None
    span_id = (ironspan.current() if current is None else current).span_id
    return run.span if span_id in (run.base, NO_SPAN_ID) else None


def nearest_below(parent: Run, current: Span) -> Span | SpanContext | None:
    """The parent for a run that the framework places below `parent`: its span, or `current` if opened inside it."""
    inner = innermost_run()
    span_id = current.span_id
    if inner is None or span_id == NO_SPAN_ID:
        return parent.span
    opened_inside = False
    for run in RUNS.ancestry(inner):
        opened_inside = opened_inside or span_id != run.base
        if run is parent:
            return current if opened_inside else parent.span
    return parent.span
