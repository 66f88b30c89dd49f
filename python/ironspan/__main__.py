"""The command ``ironspan``, also as ``python -m ironspan``: a door to the native part, and to the demo.

Nothing of it is imported by ``import ironspan``.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence

__all__ = ["main"]


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Ctrl-C, and a reader of our output that goes away, end the process at once: native code sees no exceptions."""
    names = [name for name in ("SIGINT", "SIGPIPE") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), signal.SIG_DFL) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 done, 1 nothing found, 2 wrong usage, 3 unusable store."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:
        from ironspan.demo import main as demo

        return demo(words[1:])
    from ironspan._core import command

    with _default_signals():
        return command(
            ["ironspan", *words],
            columns=max(20, min(shutil.get_terminal_size((118, 24)).columns, 10_000)),
            utc_offset=time.localtime().tm_gmtoff,
        )


if __name__ == "__main__":
    sys.exit(main())
