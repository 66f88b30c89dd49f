"""The event handler: what only events tell. A stream's chunks and its end, reranks, cancellations."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from ironspan import Span
from ironspan._guard import harmless
from ironspan._runs import RUNS
from ironspan.llamaindex._spans import Call, calls, close_rerank, fail, open_rerank

__all__ = ["Events"]

_CHUNKS = frozenset({"LLMChatInProgressEvent", "LLMCompletionInProgressEvent"})
_ENDS = frozenset({"LLMChatEndEvent", "LLMCompletionEndEvent"})


class Events(BaseEventHandler):
    """Completes the spans that `Spans` began."""

    @classmethod
    def class_name(cls) -> str:
        return "IronspanEvents"

    @harmless
    def handle(self, event: Any, **kwargs: Any) -> None:
        name = type(event).__name__
        if name in _CHUNKS:
            if (call := _generation(event)) is not None:
                call.chunks += 1
                # Each chunk brings the answer so far: where the stream breaks off, the last one is what was said.
                call.metadata = {"last": event.response}
                if not call.content_seen and isinstance(call.span, Span):
                    call.content_seen = True
                    call.span._first_chunk()
        elif name in _ENDS:
            if (call := _generation(event)) is not None and call.streams:
                _end(call, event.response)
        elif name == "ExceptionEvent":
            if (call := _generation(event)) is not None and call.streams:
                RUNS.close(call.key)
                _say_last(call)
                fail(call, event.exception)
        elif name == "ReRankStartEvent":
            open_rerank(event.span_id, event)
        elif name == "ReRankEndEvent":
            close_rerank(event.span_id, event.nodes)
        elif name == "SpanCancelledEvent" and (call := calls(event.span_id)) is not None:
            call.cancelled = True


def _generation(event: Any) -> Call | None:
    """The generation that an event belongs to. Inside a call that is not shown, that is the one around it."""
    call = calls(event.span_id)
    if call is None:
        return None
    for above in RUNS.ancestry(call):
        if isinstance(above, Call) and above.owns:
            return above if above.kind == "generation" else None
    return None


def _end(call: Call, response: Any) -> None:
    RUNS.close(call.key)
    try:
        if isinstance(call.span, Span):
            call.span._chunks(call.chunks)
            call.span.output(response)
    finally:
        RUNS.finish(call)


def _say_last(call: Call) -> None:
    if isinstance(call.span, Span) and call.metadata is not None:
        call.span._chunks(call.chunks)
        call.span.output(call.metadata.get("last"))
