"""``span.stream(iterable)``: passes a stream through and notes what can only be seen there.

The first chunk is stamped, chunks are counted, and what came through becomes the output: joined when it is text. A
stream that is dropped half-way keeps what it had and leaves the span ``cancelled``. The wrapper yields the very objects
that the stream yields and has no others of its own.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ironspan._guard import harmless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ironspan import _core

__all__ = ["wrap"]

#: Characters of text that are kept for the output; further chunks are only counted.
KEPT_CHARACTERS = 4_000_000
#: Chunks that are no text and are kept for the output.
KEPT_CHUNKS = 1_000


def wrap(span: _core.Span, iterable: Any) -> Any:
    """Wraps an iterable or an async iterable; anything else comes back as it is."""
    if hasattr(iterable, "__aiter__"):
        return _AsyncStream(span, iterable)
    if hasattr(iterable, "__iter__"):
        return _Stream(span, iterable)
    return iterable


class _Tally:
    """What has come through so far."""

    def __init__(self, span: _core.Span) -> None:
        self._span = span
        self._count = 0
        self._kept: list[Any] = []
        self._characters = 0
        self._done = False
        # Weak, so that a span whose stream is let go is let go as well.
        span._keep_stream(weakref.ref(self))

    @harmless
    def chunk(self, chunk: Any) -> None:
        if self._count == 0:
            self._span._first_chunk()
        self._count += 1
        if isinstance(chunk, str):
            self._characters += len(chunk)
            if self._characters <= KEPT_CHARACTERS:
                self._kept.append(chunk)
        elif len(self._kept) < KEPT_CHUNKS:
            self._kept.append(chunk)

    @harmless
    def left(self) -> None:
        """The span ends. A stream that nobody has read from yet may still be read: it is left alone."""
        if self._count > 0:
            self.finish(dropped=True)

    @harmless
    def finish(self, *, dropped: bool = False, error: BaseException | None = None) -> None:
        """Writes what came through. The second time does nothing."""
        if self._done:
            return
        self._done = True
        kept, self._kept = self._kept, []
        self._span._chunks(self._count)
        if kept:
            text = all(isinstance(chunk, str) for chunk in kept)
            self._span.output("".join(kept) if text else kept)
        if error is not None:
            self._span._broke(error)
        elif dropped:
            self._span._mark("cancelled")


class _Stream:
    """A synchronous stream on its way through a span."""

    def __init__(self, span: _core.Span, iterable: Any) -> None:
        self._tally = _Tally(span)
        self._source = iterable
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._source)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._tally.finish()
            raise
        except BaseException as error:
            self._tally.finish(error=error)
            raise
        self._tally.chunk(chunk)
        return chunk

    def close(self) -> None:
        """Closes the stream, if it can be closed, and keeps what has come through."""
        self._tally.finish(dropped=True)
        close = getattr(self._iterator if self._iterator is not None else self._source, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        self._tally.finish(dropped=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class _AsyncStream:
    """An asynchronous stream on its way through a span."""

    def __init__(self, span: _core.Span, iterable: Any) -> None:
        self._tally = _Tally(span)
        self._source = iterable
        self._iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> _AsyncStream:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._source)
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            self._tally.finish()
            raise
        except BaseException as error:
            self._tally.finish(error=error)
            raise
        self._tally.chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        """Closes the stream, if it can be closed, and keeps what has come through."""
        self._tally.finish(dropped=True)
        close = getattr(self._iterator if self._iterator is not None else self._source, "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        self._tally.finish(dropped=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
