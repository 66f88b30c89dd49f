"""The event handler: what only events tell. A stream's chunks and its end, reranks, cancellations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ironspan import Span, _versions
from ironspan._guard import harmless
from ironspan._runs import RUNS
from ironspan.llamaindex._call import Call, calls, close_rerank, fail, open_rerank, say_last

if TYPE_CHECKING:
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
else:
    BaseEventHandler = _versions.take(
        "llama-index-core", "llama_index.core.instrumentation.event_handlers", "BaseEventHandler"
    )

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
                call.metadata = {"last": getattr(event, "response", None)}
                if not call.content_seen and isinstance(call.span, Span):
                    call.content_seen = True
                    call.span._first_chunk()
        elif name in _ENDS:
            if (call := _generation(event)) is not None and call.streams:
                _end(call, getattr(event, "response", None))
        elif name == "ExceptionEvent":
            if (call := _generation(event)) is not None and call.streams:
                RUNS.close(call.key)
                say_last(call)
                fail(call, getattr(event, "exception", RuntimeError("the stream failed")))
        elif name == "ReRankStartEvent":
            open_rerank(event.span_id, event)
        elif name == "ReRankEndEvent":
            close_rerank(event.span_id, getattr(event, "nodes", None))
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
