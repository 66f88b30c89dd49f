"""Threads and executors inherit the current span, and nothing else.

``threading.Thread.start`` and ``ThreadPoolExecutor.submit`` (and so ``map`` and ``run_in_executor``) note what is
current where they are called; it is current again while the target runs. Other context variables of the program are
left alone. ``init(threads=False)`` switches it off.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ironspan import _core

__all__ = ["install"]

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
        attachment = None if starts_worker or not _core._thread_propagation() else _core._capture()
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
        attachment = _core._capture() if _core._thread_propagation() else None
        if attachment is None:
            return submit_quietly(self, fn, *args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            with attachment:
                return fn(*args, **kwargs)

        return submit_quietly(self, functools.wraps(fn)(call) if hasattr(fn, "__name__") else call, *args, **kwargs)

    start_with_span._ironspan = True  # type: ignore[attr-defined]
    threading.Thread.start = start_with_span  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_with_span  # type: ignore[assignment, method-assign]
