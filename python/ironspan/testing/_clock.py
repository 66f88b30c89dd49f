"""Ids that count and a clock driven by hand, so that a test can compare whole spans."""

from __future__ import annotations

from types import TracebackType

from ironspan import _core

__all__ = ["IncrementalIds", "ManualClock"]


class IncrementalIds:
    """A context manager under which trace and span ids are 1, 2, 3 and so on, in the whole process."""

    def __init__(self, first: int = 1) -> None:
        self._first = first

    def __enter__(self) -> IncrementalIds:
        _core._set_incremental_ids(self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _core._set_incremental_ids(None)


class ManualClock:
    """A context manager under which spans read this clock, in the whole process.

    Args:
        start_ns: Unix nanoseconds at which it stands first. Default 1,700,000,000 seconds.
    """

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = start_ns

    def advance(self, seconds: float) -> None:
        """Moves the clock on."""
        self.now_ns += round(seconds * 1e9)
        _core._set_clock(self.now_ns)

    def __enter__(self) -> ManualClock:
        _core._set_clock(self.now_ns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What has ended by this clock must be timed by it.
        _core.flush(5.0)
        _core._set_clock(None)
