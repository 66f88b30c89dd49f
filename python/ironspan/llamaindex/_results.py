"""What a call returned, written to its span. A stream is not read: it is the user's to read.

A streamed answer comes back wrapped in a generator that yields the same and places the model call, which is made only
when the first token is read, where it was asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from typing import Any

from ironspan import Span, _core
from ironspan.llamaindex._describe import fields_of

__all__ = ["write_dimensions", "write_result"]


def write_result(kind: str, span: Span, result: Any) -> None:
    """Writes what a call of that kind returned."""
    if result is None:
        return
    if kind == "generation":
        span.output(result)
    elif kind in ("retrieval", "rerank"):
        span.documents(result)
    elif kind == "embedding":
        write_dimensions(span, result)
    elif kind == "tool":
        _write_tool_output(span, result)
    elif kind == "transform":
        # Whole documents go through these, once more at each step: their number says enough.
        if isinstance(result, list | tuple):
            span.output({"nodes": len(result)})
    else:
        _write_response(span, result)


def write_dimensions(span: Span, result: Any) -> None:
    """The number of dimensions of a vector or of the first of several; never the vectors."""
    vector = result[0] if isinstance(result, list) and result and isinstance(result[0], list) else result
    if isinstance(vector, list):
        span.set("gen_ai.embeddings.dimension.count", len(vector))


def _write_tool_output(span: Span, result: Any) -> None:
    content = getattr(result, "content", result)
    span.output(content)
    if getattr(result, "is_error", False):
        span.error(str(content))


def _write_response(span: Span, result: Any) -> None:
    """The answer of an engine or a workflow. A stream is not read: it is the user's to read."""
    stream = vars(result).get("response_gen") if hasattr(result, "__dict__") else None
    if inspect.isgenerator(stream) or inspect.isasyncgen(stream):
        frame = _core._capture()
        if frame is not None:
            carried: Any = _carried if inspect.isgenerator(stream) else _carried_async
            result.response_gen = carried(stream, frame)
        return
    if inspect.isgenerator(result) or inspect.isasyncgen(result) or "Streaming" in type(result).__name__:
        return
    for name in ("response", "result"):
        if (answer := getattr(result, name, None)) is not None:
            span.output(getattr(answer, "response", answer))
            return
    span.output(fields_of(result))


def _carried(stream: Generator[Any, Any, Any], frame: Any) -> Generator[Any, None, None]:
    """`stream`, with what it opens placed where it was made: a model is asked only when the first token is read."""
    try:
        while True:
            with frame:
                try:
                    item = next(stream)
                except StopIteration:
                    return
            yield item
    finally:
        stream.close()


async def _carried_async(stream: AsyncGenerator[Any, None], frame: Any) -> AsyncGenerator[Any, None]:
    """Likewise."""
    try:
        while True:
            with frame:
                try:
                    item = await anext(stream)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        await stream.aclose()
