"""LangSmith, exporting by OpenTelemetry only. It traces LangChain and LangGraph by itself, LlamaIndex not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["start"]


class _LangSmith:
    def __init__(self, client: Any, made: Any) -> None:
        self._client = client
        self._provider = made

    def callbacks(self) -> list[Any]:
        return []

    def handlers(self) -> list[Any]:
        from langchain_core.tracers import LangChainTracer

        return [LangChainTracer(client=self._client)]

    def span(self, name: str) -> AbstractContextManager[Any]:
        from langsmith import trace

        return trace(name)

    def traced(self, name: str) -> Callable[[Any], Any]:
        from langsmith import traceable

        return traceable(name=name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        from langsmith import trace

        # It has no kind for agents; this is how LangChain marks them for it.
        return trace(name, metadata={"lc_agent_name": name})

    def flush(self) -> None:
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()
        self._client.flush()
        self._provider.force_flush(10_000)


def start(endpoint: str) -> _LangSmith:
    os.environ.update(
        LANGSMITH_TRACING="true",
        LANGSMITH_API_KEY="none",
        LANGSMITH_ENDPOINT=endpoint,
    )
    from langsmith import Client, configure

    from tests.conformance.tracers._opentelemetry import provider

    made = provider(endpoint)
    client = Client(tracing_mode="otel", otel_tracer_provider=made)
    configure(client=client)
    return _LangSmith(client, made)
