"""Threads and executors inherit the current span, and nothing else.

``threading.Thread.start`` and ``ThreadPoolExecutor.submit`` (and so ``map`` and ``run_in_executor``) note what is
current where they are called; it is current again while the target runs. Other context variables of the program are
left alone. ``init(threads=False)`` or ``IRONSPAN_THREADS=off`` switches it off.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from ironspan import _core

__all__ = ["CARRIERS", "install"]

#: Functions of framework modules: what else a new thread has to enter, besides the current span, or None.
CARRIERS: list[Callable[[], AbstractContextManager[object] | None]] = []


class _Luggage:
    """Several things to enter together."""

    def __init__(self, items: list[AbstractContextManager[object]]) -> None:
        self._items = items

    def __enter__(self) -> None:
        for item in self._items:
            item.__enter__()

    def __exit__(self, *_: object) -> None:
        for item in reversed(self._items):
            item.__exit__(None, None, None)


def _luggage() -> AbstractContextManager[object] | None:
    """What a thread started here has to enter; None when there is nothing."""
    if not _core._thread_propagation():
        return None
    span = _core._capture()
    if not CARRIERS:
        return span
    items = [item for item in (span, *(carry() for carry in CARRIERS)) if item is not None]
    return _Luggage(items) if items else None


#: Whether this thread is inside ``submit``, which may start a worker.
_submitting = threading.local()


def install() -> None:
    """Patches both classes, once."""
    if getattr(threading.Thread.start, "_ironspan", False):
        return
    start = threading.Thread.start

    @functools.wraps(start)
    def start_with_span(self: threading.Thread, *args: Any, **kwargs: Any) -> Any:
        # A worker of an executor outlives the span that happened to start it; each of its tasks brings its own.
        starts_worker = getattr(_submitting, "now", False)
        attachment = None if starts_worker else _luggage()
        if attachment is None:
            return start(self, *args, **kwargs)
        run = self.run

        def run_inside() -> None:
            # The instance is as it was before the target sees it.
            del self.run
            with attachment:
                run()

        try:
            self.run = run_inside  # type: ignore[method-assign]
        except AttributeError:
            # A subclass with slots: nothing is inherited.
            return start(self, *args, **kwargs)
        try:
            return start(self, *args, **kwargs)
        except BaseException:
            self.__dict__.pop("run", None)
            raise

    submit: Any = ThreadPoolExecutor.submit

    def submit_quietly(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        _submitting.now = True
        try:
            return submit(self, fn, *args, **kwargs)
        finally:
            _submitting.now = False

    @functools.wraps(submit)
    def submit_with_span(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        attachment = _luggage()
        if attachment is None:
            return submit_quietly(self, fn, *args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            with attachment:
                return fn(*args, **kwargs)

        return submit_quietly(self, functools.wraps(fn)(call) if hasattr(fn, "__name__") else call, *args, **kwargs)

    start_with_span._ironspan = True  # type: ignore[attr-defined]
    threading.Thread.start = start_with_span  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_with_span  # type: ignore[assignment, method-assign]
