"""ironspan and the other tracers of LangChain and LlamaIndex, as handlers that one process can hold side by side.

Each peer is set up as its documentation says, with its exporter pointed at a loopback sink; one that is not installed
is left out. LangChain takes handlers by call, so a peer that usually hooks every run is used through its handler.
LlamaIndex has one dispatcher: there the handlers are exchanged before each round.

OpenLLMetry's package for LlamaIndex patches classes instead, and cannot stand beside others.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

from benches.subjects import available
from tests.faults import receivers

__all__ = ["langchain_handlers", "llamaindex_handlers"]


def _provider(endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    return provider


def _ironspan(endpoint: str) -> Any:
    import ironspan
    from ironspan.langchain import CallbackHandler

    ironspan.init(service="bench", exporters=[ironspan.exporters.Otlp(endpoint=endpoint)])
    return CallbackHandler()


def _openinference(endpoint: str) -> Any:
    from openinference.instrumentation import OITracer, TraceConfig
    from openinference.instrumentation.langchain._tracer import OpenInferenceTracer

    tracer = OITracer(_provider(endpoint).get_tracer("bench"), config=TraceConfig())
    return OpenInferenceTracer(tracer, separate_trace_from_runtime_context=False)


def _openllmetry(endpoint: str) -> Any:
    from opentelemetry.instrumentation.langchain.callback_handler import TraceloopCallbackHandler
    from opentelemetry.metrics import get_meter

    meter = get_meter("bench")
    histogram = meter.create_histogram("bench")
    return TraceloopCallbackHandler(_provider(endpoint).get_tracer("bench"), histogram, histogram)


def _langfuse(endpoint: str) -> Any:
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    Langfuse(public_key="pk", secret_key="sk", host=endpoint)
    return CallbackHandler()


def _langsmith(endpoint: str) -> Any:
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client

    return LangChainTracer(client=Client(api_url=endpoint, api_key="key"))


_LANGCHAIN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ironspan": ("ironspan", _ironspan),
    "OpenInference": ("openinference.instrumentation.langchain", _openinference),
    "OpenLLMetry": ("opentelemetry.instrumentation.langchain", _openllmetry),
    "Langfuse": ("langfuse", _langfuse),
    "LangSmith": ("langsmith", _langsmith),
}


def langchain_handlers() -> dict[str, Any]:
    """A callback handler for each tracer that is installed."""
    os.environ.pop("LANGSMITH_TRACING", None)
    # Peers log about a sink that is not their server, and warn of what they use of LangChain.
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)
    logging.getLogger("langfuse").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    endpoint = receivers.start("ok", detail="count").endpoint
    return {name: make(endpoint) for name, (package, make) in _LANGCHAIN.items() if available(package)}


def llamaindex_handlers() -> dict[str, tuple[list[Any], list[Any]]]:
    """The span handlers and event handlers that each installed tracer puts on LlamaIndex's dispatcher."""
    import ironspan
    from llama_index.core.instrumentation import get_dispatcher

    endpoint = receivers.start("ok", detail="count").endpoint
    dispatcher = get_dispatcher()
    clean = list(dispatcher.span_handlers), list(dispatcher.event_handlers)

    def taken(instrument: Callable[[], object]) -> tuple[list[Any], list[Any]]:
        instrument()
        found = list(dispatcher.span_handlers), list(dispatcher.event_handlers)
        dispatcher.span_handlers, dispatcher.event_handlers = list(clean[0]), list(clean[1])
        return found

    def ours() -> None:
        ironspan.init(service="bench", exporters=[ironspan.exporters.Otlp(endpoint=endpoint)])
        ironspan.instrument("llamaindex")

    handlers = {"nothing": (list(clean[0]), list(clean[1])), "ironspan": taken(ours)}
    if available("openinference.instrumentation.llama_index"):
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

        provider = _provider(endpoint)
        handlers["OpenInference"] = taken(lambda: LlamaIndexInstrumentor().instrument(tracer_provider=provider))
    return handlers
