"""What the events of the old `CallbackManager` say: the span for each type, from its payload at the start and the end.

Payloads are dicts with the keys of `EventPayload`; components that users wrote leave keys out or bring others, so
nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from llama_index.core.callbacks.schema import EventPayload

import ironspan
from ironspan import Span
from ironspan.llamaindex._results import write_dimensions

__all__ = ["NAMES", "write_end"]

_Payload: TypeAlias = Mapping[Any, Any]
#: What makes the span, and what the act is about, by which a call of the dispatcher is known to be the same.
_Start: TypeAlias = tuple[Callable[..., Span], Any]


def _llm(name: str, payload: _Payload) -> _Start:
    settings, given = _settings(payload), _of(payload, EventPayload.ADDITIONAL_KWARGS)
    params = {**settings, **(given if isinstance(given, dict) else {})}
    asked = _of(payload, EventPayload.MESSAGES)
    if asked is None:
        asked = _of(payload, EventPayload.PROMPT)
    return partial(
        ironspan.generation,
        _model(payload, settings),
        messages=_given(asked),
        params={key: value for key, value in params.items() if key in _PARAMS} or None,
    ), None


def _embedding(name: str, payload: _Payload) -> _Start:
    return partial(ironspan.embedding, _model(payload, _settings(payload))), None


def _retrieve(name: str, payload: _Payload) -> _Start:
    query = _of(payload, EventPayload.QUERY_STR)
    return partial(ironspan.retrieval, query if isinstance(query, str) else str(query or "")), query


def _rerank(name: str, payload: _Payload) -> _Start:
    nodes = _of(payload, EventPayload.NODES)
    given = {
        "query": _of(payload, EventPayload.QUERY_STR),
        "nodes": len(nodes) if isinstance(nodes, list) else None,
        "top_n": _of(payload, EventPayload.TOP_K),
    }
    given = {key: value for key, value in given.items() if value is not None}
    model = _of(payload, EventPayload.MODEL_NAME)
    return partial(ironspan.span, str(model or "rerank"), kind="rerank", input=given), None


def _function_call(name: str, payload: _Payload) -> _Start:
    tool = _of(payload, EventPayload.TOOL)
    called = str(getattr(tool, "name", None) or (tool if isinstance(tool, str) else name))
    return partial(
        ironspan.tool,
        called,
        arguments=_given(_of(payload, EventPayload.FUNCTION_CALL)),
        description=getattr(tool, "description", None),
    ), called


def _agent_step(name: str, payload: _Payload) -> _Start:
    return partial(ironspan.agent, name, input=_given(_of(payload, EventPayload.MESSAGES))), None


def _sub_question(name: str, payload: _Payload) -> _Start:
    asked = getattr(_of(payload, EventPayload.SUB_QUESTION), "sub_q", None)
    return partial(ironspan.span, name, input=_given(getattr(asked, "sub_question", None))), None


def _query(name: str, payload: _Payload) -> _Start:
    return partial(ironspan.span, name, input=_given(_of(payload, EventPayload.QUERY_STR))), None


def _texts(name: str, payload: _Payload) -> _Start:
    """Whole documents are not copied: how many there are says enough."""
    return partial(ironspan.span, name, input=_given(_counts(payload))), None


def _other(name: str, payload: _Payload) -> _Start:
    given = {str(getattr(key, "value", key)): value for key, value in payload.items()}
    return partial(ironspan.span, str(name), input=_given(given or None)), None


#: By type of event; the empty name is for types that are not known.
NAMES: dict[str, Callable[[str, _Payload], _Start]] = {
    "llm": _llm,
    "embedding": _embedding,
    "retrieve": _retrieve,
    "reranking": _rerank,
    "function_call": _function_call,
    "agent_step": _agent_step,
    "sub_question": _sub_question,
    "query": _query,
    "synthesize": _query,
    "chunking": _texts,
    "node_parsing": _texts,
    "tree": _texts,
    "": _other,
}

_PARAMS = frozenset({"temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "tool_choice"})


def write_end(kind: str, span: Span, payload: _Payload) -> None:
    """Writes what the end of an event brings. Without a payload nothing is known of it."""
    if not payload:
        return
    if kind == "generation":
        answer = _of(payload, EventPayload.RESPONSE)
        _put(span, answer if answer is not None else _of(payload, EventPayload.COMPLETION))
    elif kind == "embedding":
        if (texts := _of(payload, EventPayload.CHUNKS)) is not None:
            span.input(texts)
        write_dimensions(span, _of(payload, EventPayload.EMBEDDINGS))
    elif kind in ("retrieval", "rerank"):
        if (nodes := _of(payload, EventPayload.NODES)) is not None:
            span.documents(nodes)
    elif kind == "tool":
        _put(span, _of(payload, EventPayload.FUNCTION_OUTPUT))
    else:
        _write_answer(span, payload)


def _write_answer(span: Span, payload: _Payload) -> None:
    pair = _of(payload, EventPayload.SUB_QUESTION)
    answer = _of(payload, EventPayload.RESPONSE)
    if pair is not None:
        _put(span, getattr(pair, "answer", None))
    elif answer is not None:
        # A streaming response has none yet, and reading it is the user's.
        if "Streaming" not in type(answer).__name__:
            _put(span, getattr(answer, "response", answer))
    elif (counts := _counts(payload)) is not None:
        span.output(counts)
    else:
        rest = {str(getattr(key, "value", key)): value for key, value in payload.items() if key != "exception"}
        _put(span, rest or None)


def _of(payload: _Payload, key: EventPayload) -> Any:
    """What is under a key, which some components write as plain text."""
    return payload.get(key, payload.get(key.value))


def _given(value: Any) -> Any:
    """A value for a verb, to which `None` is one."""
    return ironspan.UNSET if value is None else value


def _put(span: Span, value: Any) -> None:
    if value is not None:
        span.output(value)


def _counts(payload: _Payload) -> dict[str, int] | None:
    counts = {}
    for key in (EventPayload.DOCUMENTS, EventPayload.CHUNKS, EventPayload.NODES):
        value = _of(payload, key)
        if isinstance(value, list | tuple):
            counts[key.value] = len(value)
    return counts or None


def _settings(payload: _Payload) -> dict[str, Any]:
    settings = _of(payload, EventPayload.SERIALIZED)
    return settings if isinstance(settings, dict) else {}


def _model(payload: _Payload, settings: dict[str, Any]) -> str:
    names = (
        _of(payload, EventPayload.MODEL_NAME),
        settings.get("model"),
        settings.get("model_name"),
        settings.get("class_name"),
    )
    return next((name for name in names if isinstance(name, str) and name and name != "unknown"), "")
