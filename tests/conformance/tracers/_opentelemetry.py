"""What the instrumentations of OpenTelemetry share: a provider with a batch processor, and the spans of its tracer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["Instrumented", "provider"]


def provider(endpoint: str) -> TracerProvider:
    """A provider that exports to the receiver.

    It is not made the global one: the provider's own packages (`anthropic`) put spans there as well, and what they do
    is not the tracer's doing.
    """
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    return made


class Instrumented:
    """The user's spans are OpenTelemetry's; LangChain and LlamaIndex are instrumented globally."""

    #: What marks a span as an agent's in the conventions that the tracer follows.
    agent_mark: tuple[str, str]

    def __init__(self, made: TracerProvider) -> None:
        self._provider = made
        self._tracer = made.get_tracer("program")

    def callbacks(self) -> list[Any]:
        return []

    def handlers(self) -> list[Any]:
        return []

    def span(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name)

    def traced(self, name: str) -> Callable[[Any], Any]:
        return self._tracer.start_as_current_span(name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name, attributes=dict([self.agent_mark]))

    def flush(self) -> None:
        self._provider.force_flush(10_000)
