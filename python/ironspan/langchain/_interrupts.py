"""Runs that paused for a human, and the link from the run that goes on with one.

LangGraph ends a paused graph like any other: only the node's callback sees the interrupt. So the mark is handed up to
the run above. The last run of every conversation is kept, and the next one that is given a command with an answer, or
nothing at all, goes on where it stopped.

A breakpoint (``interrupt_before``, ``interrupt_after``) pauses between nodes, so that no node sees it. LangGraph tells
it to handlers of a class of its own only, and not to those that `instrument()` adds; but while a synchronous graph says
that it has ended, its loop is there to be asked.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from ironspan._runs import RUNS, Run
from ironspan.langchain import _describe, _graph

if TYPE_CHECKING:
    from ironspan import Span, SpanContext

__all__ = ["keep", "link_resumed", "mark_above"]

_MOST = 1_024

_last: OrderedDict[str, SpanContext] = OrderedDict()


def mark_above(run: Run) -> None:
    """Tells the run above that something below it paused."""
    above = None if run.parent is None else RUNS.get(run.parent)
    if above is not None:
        above.interrupted = True


def keep(run: Run) -> None:
    """Keeps the span of a graph's run that ends, and notices whether it has stopped at a breakpoint."""
    thread = _describe.conversation_of(run.metadata or {})
    if thread is None:
        return
    run.interrupted = run.interrupted or _graph.is_at_breakpoint()
    _last[thread] = cast("Span", run.span).context
    _last.move_to_end(thread)
    while len(_last) > _MOST:
        _last.popitem(last=False)


def link_resumed(span: Span, inputs: Any, metadata: dict[str, Any]) -> None:
    """Links a run that goes on with its conversation's last run to that."""
    if not _last or not (inputs is None or (type(inputs).__name__ == "Command" and inputs.resume is not None)):
        return
    thread = _describe.conversation_of(metadata)
    if thread is not None and (last := _last.pop(thread, None)) is not None:
        span.link(last, role="resumes")
