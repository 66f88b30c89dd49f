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
from os import PathLike

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


def _parquet(
    store: str | PathLike[str], path: str | PathLike[str], filter: str, since: str | None, until: str | None
) -> tuple[int, int]:
    """Writes a Parquet file for the native part, which has no Arrow."""
    from ironspan._arrow import write_parquet
    from ironspan._progress import Progress
    from ironspan._store import open_store

    # A file without its end is of no use: Ctrl-C takes it away first.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with open_store(store) as opened, Progress("spans written") as progress:
            return write_parquet(
                opened, path, filter, since=since, until=until, told=lambda traces, spans: progress.at(spans)
            )
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise
    finally:
        signal.signal(signal.SIGINT, before)


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
            parquet=_parquet,
        )


if __name__ == "__main__":
    sys.exit(main())
