"""ironspan and its rivals, each set up once with its defaults and an exporter to a loopback sink in another process.

A `Subject` knows how to make spans with five attributes (three short strings, an integer, a float), and how to wait
until what it made is sent. The loops are written out for each subject: a shared one would add a Python call per span.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from benches.measure import ROOT
from tests.faults import receivers

__all__ = ["Subject", "all_subjects", "available", "ddtrace", "ironspan", "opentelemetry"]


@dataclass
class Subject:
    """`spans(n)` makes n spans as a `with` block with five attributes; `flush()` returns when they are sent."""

    name: str
    spans: Callable[[int], None]
    flush: Callable[[], object]
    sink: receivers.Remote | None = None
    # Held for its standard input: the agent ends when that does.
    agent: subprocess.Popen[str] | None = None


def available(package: str) -> bool:
    return find_spec(package) is not None


def ironspan(endpoint: str | None = None) -> Subject:
    import ironspan as ours

    sink = receivers.start("ok", detail="count") if endpoint is None else None
    ours.init(service="bench", exporters=[ours.exporters.Otlp(traces_endpoint=endpoint or sink_url(sink))])
    span = ours.span

    def spans(count: int) -> None:
        for _ in range(count):
            with span("chat") as s:
                s.set("gen_ai.system", "openai")
                s.set("gen_ai.request.model", "gpt-4o")
                s.set("user.tier", "gold")
                s.set("gen_ai.usage.input_tokens", 812)
                s.set("score", 0.75)

    return Subject("ironspan", spans, lambda: ours.flush(10.0), sink)


def opentelemetry(endpoint: str | None = None) -> Subject:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    sink = receivers.start("ok", detail="count") if endpoint is None else None
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint or sink_url(sink))))
    start_as_current_span = provider.get_tracer("bench").start_as_current_span

    def spans(count: int) -> None:
        for _ in range(count):
            with start_as_current_span("chat") as s:
                s.set_attribute("gen_ai.system", "openai")
                s.set_attribute("gen_ai.request.model", "gpt-4o")
                s.set_attribute("user.tier", "gold")
                s.set_attribute("gen_ai.usage.input_tokens", 812)
                s.set_attribute("score", 0.75)

    return Subject("opentelemetry-python", spans, lambda: provider.force_flush(10_000), sink)


def ddtrace() -> Subject:
    """The Datadog tracer, its agent played by `benches.agent`; the features that are not tracing are off."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benches.agent"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    os.environ.update(
        DD_TRACE_AGENT_URL=f"http://127.0.0.1:{int(process.stdout.readline())}",
        DD_SERVICE="bench",
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
        DD_TRACE_STARTUP_LOGS="false",
        DD_CRASHTRACKING_ENABLED="false",
    )
    from ddtrace.trace import tracer

    trace = tracer.trace

    def spans(count: int) -> None:
        for _ in range(count):
            with trace("chat") as s:
                s.set_tag("gen_ai.system", "openai")
                s.set_tag("gen_ai.request.model", "gpt-4o")
                s.set_tag("user.tier", "gold")
                s.set_metric("gen_ai.usage.input_tokens", 812)
                s.set_metric("score", 0.75)

    return Subject("ddtrace", spans, tracer.flush, agent=process)


def sink_url(sink: receivers.Remote | None) -> str:
    """The exact address for traces, which is what opentelemetry-python's argument `endpoint` means too."""
    assert sink is not None
    return sink.endpoint + "/v1/traces"


def all_subjects() -> list[Subject]:
    """Ironspan first, then the rivals that are installed."""
    made = []
    for package, make in (("ironspan", ironspan), ("opentelemetry.sdk", opentelemetry), ("ddtrace", ddtrace)):
        try:
            found = available(package)
        except ModuleNotFoundError:
            found = False
        if found:
            made.append(make())
        else:
            print(f"{package} is not installed: its rows are missing", file=sys.stderr)
    return made
