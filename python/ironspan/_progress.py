"""How far long work is, where a person can see it: one line on standard error that is written over again."""

from __future__ import annotations

import sys
import time

__all__ = ["Progress"]

#: Seconds between two drawings.
_REDRAW = 0.1


class Progress:
    """A line such as ``1,200 of 4,800 traces recorded, 25 %``. Nothing is written where standard error is no terminal.

    A context manager: what comes after it begins on an empty line.

    Args:
        what: What is counted and what becomes of it: ``traces recorded``.
        total: How many there will be; ``None`` where nobody knows.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._shown = sys.stderr.isatty()
        self._drawn = float("-inf")
        self._columns = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._columns:
            sys.stderr.write(f"\r{'':{self._columns}}\r")
            sys.stderr.flush()

    def at(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if not self._shown or now - self._drawn < _REDRAW:
            return
        self._drawn = now
        text = f"{done:,} {self._what}"
        if self._total:
            text = f"{done:,} of {self._total:,} {self._what}, {100 * min(done, self._total) // self._total} %"
        sys.stderr.write(f"\r{text:<{self._columns}}")
        sys.stderr.flush()
        self._columns = len(text)
