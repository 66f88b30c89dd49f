"""Open runs of callback frameworks: run id -> span.

A framework tells a handler "run 7 began below run 3" and later "run 7 ended"; this table is the memory between the two
calls. One table serves every handler of the process, so a run that two handlers see is one span.

Frameworks forget to end runs (a cancelled coroutine sends no callback), therefore an entry leaves by one of four doors:
the end callback; the death of the framework's own run id object, which lives exactly as long as the run; the idle
limit; the cap. The contexts of the runs that ended last are kept, so that work which outlives its run is still linked.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any

from ironspan import Span, SpanContext, _core
from ironspan._guard import harmless

__all__ = ["NO_SPAN_ID", "RUNS", "Run", "RunTable", "finish", "key_of"]

#: What ``Span.span_id`` says when there is no span.
NO_SPAN_ID = "0" * 16

_CAP = 10_000
_REMEMBERED = 1_024
#: Seconds between two looks for idle runs, at most; one costs about a millisecond for a full table.
_LOOK_EVERY = 60.0
#: Longer chains of parents than this are a loop made by broken ids.
_DEEPEST = 1_000


def key_of(run_id: Any) -> Hashable:
    """The key of a run id. ``UUID.__hash__`` is Python code; its integer hashes at a tenth of the cost."""
    key: Hashable = getattr(run_id, "int", run_id)
    return key


class Run:
    """One run: the span that stands for it and what its end needs to know."""

    __slots__ = (
        "__weakref__",
        "agent",
        "base",
        "chunks",
        "content_seen",
        "interrupted",
        "key",
        "metadata",
        "owns",
        "parent",
        "span",
        "thread",
        "touched",
        "watch",
    )

    def __init__(self, key: Hashable, parent: Hashable | None, span: Span | SpanContext | None, base: str) -> None:
        self.key = key
        #: Key of the run above, known to this table or not.
        self.parent = parent
        #: The run's span, its context after the end. A run that is not shown has the span of the run above.
        self.span = span
        #: Whether `span` stands for this run alone.
        self.owns = True
        #: Id of the span that was current where the run began.
        self.base = base
        #: Name of the agent in whose turn this run takes place.
        self.agent: str | None = None
        self.metadata: dict[str, Any] | None = None
        #: A run below paused to be resumed later.
        self.interrupted = False
        #: Conversation, for the root of a run.
        self.thread: str | None = None
        #: Chunks of a model's stream, and whether one of them had content.
        self.chunks = 0
        self.content_seen = False
        self.touched = 0.0
        self.watch: weakref.ref[Any] | None = None


class RunTable:
    """The open runs, bounded in number and in idle time."""

    def __init__(
        self, *, cap: int = _CAP, idle_seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open: dict[Hashable, Run] = {}
        #: The open run under a key, or ``None``. The dict's own method: it is asked for every token of a stream.
        self.get: Callable[[Hashable | None], Run | None] = self._open.get
        self._ended: OrderedDict[Hashable, Run] = OrderedDict()
        self._cap = cap
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._next_sweep = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: Hashable | None) -> Run | None:
        """The run under `key`, open or one of the last to end."""
        return self._open.get(key) or self._ended.get(key)

    def ancestry(self, run: Run) -> Iterator[Run]:
        """`run` and the runs above it, nearest first."""
        step: Run | None = run
        for _ in range(_DEEPEST):
            if step is None:
                return
            yield step
            step = self.find(step.parent) if step.parent is not None else None

    def open(self, run: Run, run_id: Any = None) -> None:
        """Enters a run that has begun. `run_id` is the framework's object: its death ends the run as cancelled."""
        now = run.touched = self._clock()
        if (above := self._open.get(run.parent)) is not None:
            above.touched = now
        if len(self._open) >= self._cap or now >= self._next_sweep:
            self.sweep()
        try:
            run.watch = weakref.ref(run_id, partial(self._lost, run.key))
        except TypeError:
            run.watch = None
        self._open[run.key] = run
        _core._count_open_runs(1)

    def close(self, key: Hashable) -> Run | None:
        """Takes out the run that ended; ``None`` when it is not open. Its span is the caller's to end."""
        run = self._open.pop(key, None)
        if run is not None:
            run.watch = None
            _core._count_open_runs(-1)
        return run

    def remember(self, run: Run) -> None:
        """Keeps the context of a run that ended, for what starts below it later."""
        if isinstance(run.span, Span):
            run.span = run.span.context
        run.metadata = None
        self._ended[run.key] = run
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def sweep(self) -> None:
        """Ends runs in which nothing happened for the idle limit, and the quietest eighth when the table is full."""
        now = self._clock()
        idle_seconds = _core._run_idle_seconds() if self._idle_seconds is None else self._idle_seconds
        self._next_sweep = now + min(idle_seconds / 4, _LOOK_EVERY)
        last: dict[Hashable, float] = {}
        for run in list(self._open.values()):
            for above in self.ancestry(run):
                if last.get(above.key, -1.0) >= run.touched:
                    break
                last[above.key] = run.touched
        quiet = sorted((key for key in last if key in self._open), key=lambda key: last[key])
        surplus = len(self._open) - self._cap + max(self._cap // 8, 1) if len(self._open) >= self._cap else 0
        for place, key in enumerate(quiet):
            if place >= surplus and now - last[key] <= idle_seconds:
                return
            self._end(key, "abandoned")

    def forget(self) -> None:
        """Drops every open run without ending it: after a fork they are the parent process's to end."""
        for key in list(self._open):
            if (run := self.close(key)) is not None:
                self.remember(run)

    @harmless
    def _lost(self, key: Hashable, _reference: weakref.ref[Any]) -> None:
        self._end(key, "cancelled")

    def _end(self, key: Hashable, outcome: str) -> None:
        if (run := self.close(key)) is not None:
            finish(run, outcome, table=self)


def finish(run: Run, outcome: str = "ok", *, table: RunTable) -> None:
    """Ends the span of a run that has left the table. An error is on the span already; then `outcome` is ``ok``."""
    span = run.span
    table.remember(run)
    if run.owns and isinstance(span, Span):
        if outcome == "ok":
            span.end()
        else:
            span._end_as(outcome)


#: The runs of this process.
RUNS = RunTable()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RUNS.forget)
