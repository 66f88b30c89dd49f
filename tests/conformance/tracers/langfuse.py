"""Langfuse: its client, its handler in each call of LangChain, and for LlamaIndex what it says: OpenInference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from langfuse import Langfuse, observe
from langfuse.langchain import CallbackHandler
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

__all__ = ["start"]


class _Langfuse:
    def __init__(self, client: Langfuse) -> None:
        self._client = client

    def callbacks(self) -> list[Any]:
        return [CallbackHandler()]

    def handlers(self) -> list[Any]:
        return [CallbackHandler()]

    def span(self, name: str) -> AbstractContextManager[Any]:
        return self._client.start_as_current_observation(name=name, as_type="span")

    def traced(self, name: str) -> Callable[[Any], Any]:
        return observe(name=name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._client.start_as_current_observation(name=name, as_type="agent")

    def flush(self) -> None:
        self._client.flush()


def start(endpoint: str) -> _Langfuse:
    client = Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", base_url=endpoint)
    LlamaIndexInstrumentor().instrument()
    return _Langfuse(client)
