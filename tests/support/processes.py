"""Runs Python code in a process of its own: for what only a fresh process can show (imports, exit, environment)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Finished", "clean_environment", "run_python"]

_PREFIXES = ("OTEL_", "IRONSPAN_", "TRACEPARENT", "TRACESTATE", "BAGGAGE")


@dataclass(frozen=True)
class Finished:
    """What a process left behind."""

    stdout: str
    stderr: str
    returncode: int


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that configures tracing, without a store, and with ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    # The folder of the tests, so that a child can import their support.
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), kept.get("PYTHONPATH")]))
    return {**kept, "IRONSPAN_STORE": "off", **(extra or {})}


def run_python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, succeeds: bool = True, timeout: float = 100
) -> Finished:
    """Runs ``code`` with ``env`` on top of a clean environment. Warnings are errors there, too."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    # A child that cannot end by itself is a failure of its own.
    done = subprocess.run(command, env=clean_environment(env), capture_output=True, text=True, timeout=timeout)
    finished = Finished(done.stdout, done.stderr, done.returncode)
    if succeeds:
        assert finished.returncode == 0, finished
    return finished
