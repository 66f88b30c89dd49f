"""Values that a tracer should not touch: they raise, recurse, lie, never end, or are enormous.

`touched` counts how often code of such a value ran, so that a scenario can tell a tracer's curiosity from a program's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Escape", "Refusal", "fields_missing", "make", "make_all", "touched"]


class Refusal(Exception):
    """An ordinary failure."""


class Escape(BaseException):
    """What `except Exception` does not stop."""


_touches = itertools.count()
_seen = 0


def _touch() -> None:
    global _seen
    _seen = next(_touches) + 1


def touched() -> int:
    """How often code of a hostile value has run."""
    return _seen


class _Raising:
    """Raises whatever it is asked."""

    error: type[BaseException] = Refusal

    def __getattr__(self, name: str) -> Any:
        _touch()
        raise type(self).error(name)

    def __str__(self) -> str:
        _touch()
        raise type(self).error("str")

    __repr__ = __str__

    def __iter__(self) -> Iterator[Any]:
        _touch()
        raise type(self).error("iter")

    def __len__(self) -> int:
        _touch()
        raise type(self).error("len")

    def __bool__(self) -> bool:
        _touch()
        raise type(self).error("bool")

    def __eq__(self, other: object) -> bool:
        _touch()
        raise type(self).error("eq")

    def __hash__(self) -> int:
        _touch()
        raise type(self).error("hash")


class _Escaping(_Raising):
    """Likewise, with what nobody catches."""

    error = Escape


class _Recursing:
    """Asks itself for what it is asked."""

    def __getattr__(self, name: str) -> Any:
        _touch()
        return getattr(self, name)


class _Liar:
    """Says that it is a text."""

    @property
    def __class__(self) -> Any:
        _touch()
        return str

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class _Anonymous:
    """Does not say what it is."""

    @property
    def __class__(self) -> Any:
        _touch()
        raise Escape("class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class _Endless:
    """Has always one more, under any name."""

    def __iter__(self) -> Iterator[int]:
        _touch()
        return itertools.count()

    def __getattr__(self, name: str) -> Any:
        _touch()
        if name.startswith("__"):
            raise AttributeError(name)
        return _Endless()


class _EndlessMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        _touch()
        return 1

    def __iter__(self) -> Iterator[str]:
        _touch()
        return (str(n) for n in itertools.count())

    def __len__(self) -> int:
        _touch()
        return 1 << 40


class _Dict(dict[str, Any]):
    """A dict whose own methods fail; what is in it can be read all the same."""

    def __getitem__(self, key: str) -> Any:
        _touch()
        raise Refusal(key)

    def items(self) -> Any:
        _touch()
        raise Refusal("items")

    keys = values = __iter__ = items


class _Text(str):
    def __str__(self) -> str:
        _touch()
        raise Refusal("str")

    __repr__ = __str__

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        _touch()
        raise Refusal("encode")


def _looped() -> list[Any]:
    loop: list[Any] = ["x"]
    loop.append({"loop": loop})
    return loop


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


_KINDS = {
    "raises": _Raising,
    "raises BaseException": _Escaping,
    "recurses": _Recursing,
    "lies about its class": _Liar,
    "fails at its class": _Anonymous,
    "endless": _Endless,
    "endless mapping": _EndlessMapping,
    "generator": lambda: (n for n in itertools.count()),
    "broken dict": lambda: _Dict(a=1),
    "broken text": lambda: _Text("text"),
    "contains itself": _looped,
    "deep": lambda: _deep(5_000),
    "huge text": lambda: "x" * 20_000_000,
    "huge list": lambda: list(range(300_000)),
    "surrogates": lambda: "\ud800 \x00 \U0010ffff",
    "in a dict": lambda: {"a": _Escaping(), "b": [_Endless(), _Recursing()]},
}


def make() -> dict[str, Any]:
    """One of each kind."""
    return {name: kind() for name, kind in _KINDS.items()}


def make_all() -> list[Any]:
    """One of each kind but the huge ones."""
    return [kind() for name, kind in _KINDS.items() if not name.startswith("huge")]


def fields_missing() -> list[Any]:
    """Objects of LangChain without what their classes promise, as a version that does not fit would bring them."""
    from langchain_core.documents import Document
    from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    bare = [
        kind.model_construct() for kind in (AIMessage, HumanMessage, ToolMessage, ChatGeneration, LLMResult, Document)
    ]
    for message in bare[:3]:
        message.__dict__.clear()
    odd = [
        AIMessage.model_construct(content=None, usage_metadata={"input_tokens": "many"}, tool_calls=[None, 3, {}]),
        AIMessageChunk.model_construct(content=[None, {"type": 3}], response_metadata=None),
        LLMResult.model_construct(generations=[[ChatGeneration.model_construct(message=None, text=None)]]),
        LLMResult.model_construct(generations=[None], llm_output=[]),
    ]
    return [*bare, *odd]
