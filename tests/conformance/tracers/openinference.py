"""OpenInference: both instrumentors on a provider of OpenTelemetry's, the user's spans by its own tracer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

from tests.conformance.tracers._opentelemetry import Instrumented, provider

__all__ = ["start"]


class _OpenInference(Instrumented):
    def __init__(self, made: Any) -> None:
        super().__init__(made)
        self._tracer: Any = OITracer(made.get_tracer("program"), config=TraceConfig())

    def span(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name, openinference_span_kind="chain")

    def traced(self, name: str) -> Callable[[Any], Any]:
        return self._tracer.chain(name=name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name, openinference_span_kind="agent")


def start(endpoint: str) -> _OpenInference:
    made = provider(endpoint)
    LangChainInstrumentor().instrument(tracer_provider=made)
    LlamaIndexInstrumentor().instrument(tracer_provider=made)
    return _OpenInference(made)
