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
P, and C must differ from the base of R. So a span which the consumer of a generator holds
open around ``next()`` never becomes the parent of the nodes that happen to run inside that call.

Retrievers set no config around their body. Their run is put into a variable of our own, which counts only while that
run is open; nothing ever has to be reset.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from langchain_core.runnables.config import var_child_runnable_config

from ironspan import _core, _threads
from ironspan._runs import NO_SPAN_ID, RUNS, Run, key_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ironspan import Span, SpanContext

__all__ = ["Carried", "ambient_run_parent", "carry", "enter_body", "innermost_run", "install", "is_ambient_below"]

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


def ambient_run_parent(span_id: str | None = None) -> Span | SpanContext | None:
    """The parent for a span that starts here without an explicit one.

    Args:
        span_id: Id of the current ironspan span, zeros for none; looked up when it is not given.

    Returns:
        The span of the LangChain run whose code is executing, or ``None`` when the current span is nearer.
    """
    run = innermost_run()
    if run is None or run.span is None:
        return None
    if span_id is None:
        span_id = _core._current_span_id()
    return run.span if span_id in (run.base, NO_SPAN_ID) else None


def is_ambient_below(parent: Run, span_id: str) -> bool:
    """Whether what is nearest here is `parent`'s span, or something that was opened inside `parent`.

    Args:
        parent: The run below which the framework places a new one.
        span_id: Id of the current ironspan span, zeros for none.
    """
    inner = innermost_run()
    if inner is None or inner is parent:
        return inner is parent
    opened_inside = span_id not in (inner.base, NO_SPAN_ID)
    return opened_inside and any(run is parent for run in RUNS.ancestry(inner))


def install() -> None:
    """Lets the core ask for the parent of spans that start in a run's code, and threads take the run along."""
    _core._set_hint([var_child_runnable_config, _body], ambient_run_parent)
    _threads.CARRIERS.append(carry)
