"""The process under test: runs one function of a scenario module in a fresh interpreter and reports to a file.

`python -m tests.faults.app MODULE FUNCTION ARGUMENTS` is started by `harness.Run`. The function gets an `App`. Reports
are JSON lines appended with one write each, so that forked children can share the file. The last one, `exit`, is
written by an atexit function registered before ironspan is imported: it runs after ironspan's own and therefore holds
the final counts.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import time
from typing import Any

__all__ = ["App"]


class App:
    """What a function under test may use."""

    def __init__(self, path: str) -> None:
        self._report = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._done = False
        self._origin = os.getpid()

    def emit(self, event: str, **values: Any) -> None:
        """Append one event. `at` is CLOCK_MONOTONIC, which all processes share."""
        line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), **values}
        os.write(self._report, json.dumps(line).encode() + b"\n")

    def init(self, *endpoints: str, service: str = "faults", **options: Any) -> Any:
        """Start ironspan with one OTLP/HTTP exporter per endpoint; the options are the exporter's."""
        import ironspan

        ironspan.init(service=service, exporters=[ironspan.exporters.Otlp(endpoint=e, **options) for e in endpoints])
        return ironspan

    def done(self) -> None:
        """The function's work ends here: the clock of `Result.exit_seconds` starts. Called by `main` if not before."""
        if not self._done and os.getpid() == self._origin:
            self._done = True
            self.emit("done")

    def at_exit(self) -> None:
        ironspan = sys.modules.get("ironspan")
        if ironspan is not None:
            self.emit("exit", stats=ironspan.stats(), origin=os.getpid() == self._origin)


def main() -> None:
    module, function, arguments = sys.argv[1:4]
    app = App(os.environ["FAULTS_REPORT"])
    atexit.register(app.at_exit)
    work = getattr(importlib.import_module(module), function)
    try:
        work(app, **json.loads(arguments))
    finally:
        app.done()


if __name__ == "__main__":
    main()
