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

__all__ = ["flush", "installed", "langchain_handler", "langchain_handlers", "llamaindex_handlers"]


#: OpenTelemetry providers that were made here, to be flushed.
_providers: list[Any] = []


def _provider(endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    _providers.append(provider)
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


def _mlflow(endpoint: str) -> Any:
    import mlflow
    from mlflow.langchain.langchain_tracer import MlflowLangchainTracer

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    # Named, because its default is a local database, which mlflow-tracing alone cannot open.
    mlflow.set_tracking_uri(endpoint)
    ours = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        # The first span is when it reads them. Inline is what `mlflow.langchain.autolog()` uses.
        with mlflow.start_span("ready"):
            return MlflowLangchainTracer(run_inline=True)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_LANGCHAIN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ironspan": ("ironspan", _ironspan),
    "OpenInference": ("openinference.instrumentation.langchain", _openinference),
    "OpenLLMetry": ("opentelemetry.instrumentation.langchain", _openllmetry),
    "Langfuse": ("langfuse", _langfuse),
    "MLflow": ("mlflow", _mlflow),
    "LangSmith": ("langsmith", _langsmith),
}


def langchain_handlers() -> dict[str, Any]:
    """A callback handler for each tracer that is installed, all with one sink."""
    endpoint = receivers.start("ok", detail="count").endpoint
    return {name: langchain_handler(name, endpoint) for name in installed()}


def installed() -> list[str]:
    """The tracers of LangChain that are there, ironspan first."""
    return [name for name, (package, _) in _LANGCHAIN.items() if available(package)]


def langchain_handler(name: str, endpoint: str) -> Any:
    """The callback handler of one tracer, which sends to the sink at `endpoint`."""
    os.environ.pop("LANGSMITH_TRACING", None)
    # Peers log about a sink that is not their server, and warn of what they use of LangChain.
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)
    logging.getLogger("langfuse").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    return _LANGCHAIN[name][1](endpoint)


def flush(name: str) -> None:
    """Has a tracer send what it holds."""
    if name == "ironspan":
        import ironspan

        ironspan.flush(30.0)
    elif name == "LangSmith":
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()
    elif name == "Langfuse":
        from langfuse import get_client

        get_client().flush()
    elif name == "MLflow":
        from mlflow.tracing import provider

        # The exporter for OTLP batches like OpenTelemetry's own, behind a provider of MLflow's.
        provider.provider.get().force_flush()
    else:
        for made in _providers:
            made.force_flush()


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
