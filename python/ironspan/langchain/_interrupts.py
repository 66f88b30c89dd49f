"""Runs that paused for a human, and the link from the run that resumes them.

LangGraph ends a paused graph like any other: only the node's callback sees the interrupt. So the mark is handed up to
the run above, and the graph's span is kept by conversation until the next run of that conversation begins.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ironspan._runs import RUNS, Run

if TYPE_CHECKING:
    from ironspan import SpanContext

__all__ = ["keep", "mark_above", "resumed"]

_MOST = 1_024
_paused: OrderedDict[str, SpanContext] = OrderedDict()


def mark_above(run: Run) -> None:
    """Tells the run above that something below it paused."""
    above = None if run.parent is None else RUNS.get(run.parent)
    if above is not None:
        above.interrupted = True


def keep(thread: str, context: SpanContext) -> None:
    """Keeps the span of a conversation's paused run."""
    _paused[thread] = context
    while len(_paused) > _MOST:
        _paused.popitem(last=False)


def resumed(thread: str | None) -> SpanContext | None:
    """The paused run that a new run of this conversation resumes."""
    return _paused.pop(thread, None) if thread is not None else None
