"""The process in which a program runs: sets the tracer up, runs the program's `main`, sends what was recorded.

`python -m tests.conformance.child REQUEST` runs one and ends; a request is the JSON that `runner.execute` makes. With
`--serve` it imports the frameworks, says so, reads requests from standard input, runs each in a fork of itself and
answers with the exit code: to import takes seconds, to fork none. Nothing of a tracer is imported before the fork.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

from tests.conformance import program, tracers

# Not `langchain.agents`: a tracer that patches functions of a module has to come before those who import them by name.
FRAMEWORKS = (
    "langchain_anthropic",
    "langchain_core.retrievers",
    "langchain_openai",
    "langgraph.checkpoint.memory",
    "langgraph.graph",
    "llama_index.core",
    "llama_index.embeddings.openai",
    "llama_index.llms.openai",
    # Imported at the first call otherwise, in each child again.
    "anthropic.resources",
    "openai.resources",
)


def run(request: dict[str, Any]) -> int:
    """Runs a program; 0, or 1 with the reason on standard error."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        tracer = tracers.start(request["tracer"], request["endpoint"])
        program._begin(tracer)
        main = import_module(f"tests.conformance.programs.{request['program'].replace('/', '.')}").main
        if inspect.iscoroutinefunction(main):
            asyncio.run(main())
        else:
            main()
        tracer.flush()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    """Forks for each request. The child leaves by the normal way, so that what a tracer does at exit is done."""
    for name in FRAMEWORKS:
        with suppress(ImportError):
            import_module(name)
    # What is there stays; a child has no need to look through it.
    gc.freeze()
    os.write(1, b"ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            # What the parent reads requests from is not the program's.
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.exit(run(request))
        os.write(1, f"{_wait(child, request['limit_seconds'])}\n".encode())


def _wait(child: int, limit_seconds: float) -> int:
    deadline = time.monotonic() + limit_seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(run(json.loads(sys.argv[1])))
