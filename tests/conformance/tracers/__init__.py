"""One module for each tracer: how it is set up to export to the receiver, and how its user opens a span.

Each is set up as its documentation says for a program with LangChain, LangGraph and LlamaIndex, before the program is
imported. `start(endpoint)` returns the tracer; the packages it needs are in the table here, so that a tracer that is
not installed can be told without importing its module.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

__all__ = ["TRACERS", "About", "Tracer", "start"]


class Tracer(Protocol):
    """What programs and the runner need of a tracer."""

    def callbacks(self) -> list[Any]:
        """Handlers that a LangChain call has to be given; empty when the tracer sees every run by itself."""

    def handlers(self) -> list[Any]:
        """Handlers that a LangChain call can be given."""

    def span(self, name: str) -> AbstractContextManager[Any]:
        """The user's own span."""

    def traced(self, name: str) -> Callable[[Any], Any]:
        """The user's own span as a decorator."""

    def agent(self, name: str) -> AbstractContextManager[Any]:
        """The user's own span around an agent."""

    def flush(self) -> None:
        """Returns when everything that has ended has been sent."""


@dataclass(frozen=True)
class About:
    """A tracer as it is named in tables, and the distributions it is made of, the one that gives its version first.

    `untraced` are the frameworks for which it has nothing: no program of theirs is held against it alone.
    """

    title: str
    distributions: tuple[str, ...]
    untraced: frozenset[str] = frozenset()

    @property
    def version(self) -> str | None:
        """The installed version; None when a part is missing."""
        try:
            versions = [version(name) for name in self.distributions]
        except PackageNotFoundError:
            # A source tree on the path is as good as an installed package.
            return import_module("ironspan").__version__ if self.title == "ironspan" else None
        return versions[0]


TRACERS = {
    "ironspan": About("ironspan", ("ironspan",)),
    "openinference": About(
        "OpenInference",
        (
            "openinference-instrumentation-langchain",
            "openinference-instrumentation-llama-index",
            "opentelemetry-exporter-otlp-proto-http",
        ),
    ),
    "openllmetry": About(
        "OpenLLMetry",
        (
            "opentelemetry-instrumentation-langchain",
            "opentelemetry-instrumentation-llamaindex",
            "opentelemetry-exporter-otlp-proto-http",
        ),
    ),
    "langfuse": About("Langfuse", ("langfuse", "openinference-instrumentation-llama-index")),
    "langsmith": About(
        "LangSmith", ("langsmith", "opentelemetry-exporter-otlp-proto-http"), untraced=frozenset({"llamaindex"})
    ),
    "mlflow": About("MLflow", ("mlflow-skinny", "opentelemetry-exporter-otlp-proto-http")),
}


def start(name: str, endpoint: str) -> Tracer:
    """Sets the tracer up, with its exporter pointed at the base URL `endpoint`."""
    tracer: Tracer = import_module(f"{__name__}.{name}").start(endpoint)
    return tracer
