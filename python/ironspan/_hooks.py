"""Where ironspan hooks into the life of the process: exit, fork, children of ``multiprocessing``, threads.

Installed when the first span is made or ``init()`` is called; importing installs nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from ironspan import _core

__all__ = ["install"]

_installed = False
#: The process in which the finaliser of ``multiprocessing`` was registered last.
_finaliser_pid: int | None = None


def install() -> None:
    """Installs what is not installed yet. Called for each engine that is built, so also in the child of a fork."""
    global _installed
    if not _installed:
        _installed = True
        atexit.register(_core._at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_core._before_fork, after_in_parent=_core._after_fork_in_parent)
        if _core._thread_propagation():
            from ironspan import _threads

            _threads.install()
    _finalise_children()


def _finalise_children() -> None:
    """``atexit`` does not run in children of ``multiprocessing``; its own finalisers do."""
    global _finaliser_pid
    util: Any = sys.modules.get("multiprocessing.util")
    if util is None or _finaliser_pid == os.getpid():
        return
    first = _finaliser_pid is None
    _finaliser_pid = os.getpid()
    # Low priority: after the finalisers of queues and pools, which may still make spans.
    util.Finalize(None, _core._at_exit, exitpriority=-100)
    if first:
        # A child empties the list of finalisers when it starts, and then calls these.
        util.register_after_fork(_child_marker, _after_multiprocessing_fork)


class _Marker:
    """``register_after_fork`` wants an object that can be referenced weakly."""


_child_marker = _Marker()


def _after_multiprocessing_fork(_: _Marker) -> None:
    global _finaliser_pid
    _finaliser_pid = None
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        _finaliser_pid = os.getpid()
        util.Finalize(None, _core._at_exit, exitpriority=-100)
