"""OpenLLMetry: its two instrumentations on a provider of OpenTelemetry's; the user's spans are plain ones of that."""

from __future__ import annotations

from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

from tests.conformance.tracers._opentelemetry import Instrumented, provider

__all__ = ["start"]


class _OpenLLMetry(Instrumented):
    agent_mark = ("traceloop.span.kind", "agent")


def start(endpoint: str) -> _OpenLLMetry:
    made = provider(endpoint)
    LangchainInstrumentor().instrument(tracer_provider=made)
    LlamaIndexInstrumentor().instrument(tracer_provider=made)
    return _OpenLLMetry(made)
