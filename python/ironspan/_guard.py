"""The boundary between the application and tracing code written in Python.

A callback that raises would break the run it observes, so everything a framework calls is wrapped here: the failure is
counted in ``ironspan.stats()["internal_errors"]`` and the caller gets ``None``. The Rust side has the same boundary of
its own.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["harmless"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Set by the project's own tests, where a swallowed failure would hide a bug.
reraise = False

_log = logging.getLogger("ironspan")
_said = False


def harmless(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Wraps a callback so that nothing escapes from it.

    A Rust panic arrives as a ``BaseException`` and is held back like any other failure. ``KeyboardInterrupt`` and
    ``SystemExit`` are the user's and pass through.
    """

    @functools.wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            return function(*args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if reraise:
                raise
            _count(function.__qualname__, error)
        return None

    return guarded


def _count(where: str, error: BaseException) -> None:
    global _said
    try:
        from ironspan import _core

        _core._count_internal_error()
        if not _said:
            _said = True
            # The type and the line only: a message may quote a prompt.
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line = trace.tb_lineno if trace is not None else 0
            _log.warning(
                "a callback failed and was skipped (%s, %s in line %d); further ones are only counted",
                where,
                type(error).__name__,
                line,
            )
    except Exception:
        return
