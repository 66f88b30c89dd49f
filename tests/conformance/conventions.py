"""From the names that tracers write to the few things a tree is judged by: kind, name, status and facts.

Read are the OpenTelemetry GenAI conventions, OpenInference, and the attributes of OpenLLMetry (`traceloop.`), Langfuse,
LangSmith and MLflow. Where a tracer has a fact in any place that a reader could know, the fact counts: an answer's text
may be anywhere in the recorded output, a conversation under any of its usual names. `tracers/` sets them up, this
module reads them, and nothing else knows one from another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.conformance.receiver import Received

__all__ = ["KINDS", "Seen", "read"]

#: A span of the last kind is plain: a step, a chain, a workflow.
KINDS = ("generation", "tool", "retrieval", "embedding", "rerank", "agent", "span")

#: Where the kind stands, in the order of precedence, and how its words are called here. What is not named is plain.
_KIND_KEYS = (
    "ironspan.kind",
    "langfuse.observation.type",
    "openinference.span.kind",
    "mlflow.spanType",
    "langsmith.span.kind",
    "traceloop.span.kind",
    "gen_ai.operation.name",
    "llm.request.type",
)
_KIND_WORDS = {
    "generation": "generation",
    "llm": "generation",
    "chat_model": "generation",
    "chat": "generation",
    "completion": "generation",
    "text_completion": "generation",
    "generate_content": "generation",
    "tool": "tool",
    "execute_tool": "tool",
    "retrieval": "retrieval",
    "retriever": "retrieval",
    "embedding": "embedding",
    "embeddings": "embedding",
    "rerank": "rerank",
    "reranker": "rerank",
    "agent": "agent",
    "invoke_agent": "agent",
}

#: What conventions put before a step's own name, and what OpenLLMetry puts behind it.
_BEFORE = re.compile(
    r"^(invoke_agent|create_agent|invoke_workflow|execute_tool|execute_task|retrieval|embeddings|chat) "
)
_BEHIND = re.compile(r"\.(workflow|task|agent|tool|chat|completion|langgraph)$")

#: How most name the calls of LlamaIndex: by class and method. The step is known by its class.
_METHOD = re.compile(
    r"^([A-Z]\w*)\.(_?a?retrieve|a?query|run|a?chat|a?stream_chat|a?synthesize|__call__|a?call|postprocess_nodes)$"
)
_CALL = re.compile(r"^[A-Z]\w*\.\w+$")
#: LlamaIndex's public methods call one of the same class that does the work; most show both.
_MERGED = ("generation", "embedding", "retrieval", "rerank", "tool")

#: The name that a reader would look for, by kind. Without one the span's own name counts.
_NAME_KEYS = {
    "generation": (
        "gen_ai.request.model",
        "llm.model_name",
        "langfuse.observation.model.name",
        "mlflow.llm.model",
        "gen_ai.response.model",
    ),
    "embedding": ("gen_ai.request.model", "embedding.model_name", "gen_ai.response.model"),
    "tool": ("gen_ai.tool.name", "tool.name", "traceloop.entity.name"),
    "agent": ("gen_ai.agent.name", "agent.name", "traceloop.entity.name"),
    "span": ("traceloop.entity.name",),
}

_FINISH = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "max_tokens": "length",
}
_SESSION_KEYS = ("session.id", "session_id", "thread_id", "conversation.id", "conversation_id", "trace.session")
_AGENT_KEY = "lc_agent_name"

#: Tokens: a key of attributes or of a JSON object in one, and how it is called here.
_TOKENS = {
    "in": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "out": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    "cached": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
}
#: Objects that hold the tokens of one call, as JSON in an attribute.
_USAGE_OBJECTS = ("mlflow.chat.tokenUsage", "langsmith.metadata.usage_metadata")
_USAGE_WORDS = {
    "in": ("input_tokens",),
    "out": ("output_tokens",),
    "cached": ("cache_read_input_tokens", "cache_read"),
    "cache_write": ("cache_creation_input_tokens", "cache_creation"),
    "reasoning": ("reasoning_output_tokens", "reasoning_tokens", "reasoning"),
}


@dataclass(eq=False)
class Seen:
    """A span as a reader of any of the conventions sees it."""

    received: Received
    kind: str
    name: str
    status: str
    #: Whether the tracer has words for cancelled and interrupted.
    has_words: bool
    children: list[Seen] = field(default_factory=list)
    parent: Seen | None = None
    #: Whether it names a parent that never came.
    orphan: bool = False

    @property
    def trace_id(self) -> str:
        return self.received.trace_id

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes, JSON in strings decoded."""
        return {key: _decoded(value) for key, value in self.received.attributes.items()}

    @cached_property
    def failure(self) -> str:
        """Everything that is said about what went wrong."""
        said = [self.received.message]
        for name, attributes in self.received.events:
            said += [name, *map(str, attributes.values())]
        said += (str(value) for key, value in self.attributes.items() if "error" in key or "status" in key)
        said += self.output()
        return "\n".join(said)

    def tokens(self, what: str) -> int | None:
        """Tokens of a kind: in, out, cached, cache_write or reasoning. None if it is not said."""
        details = self.attributes.get("langfuse.observation.usage_details")
        if isinstance(details, dict):
            return _langfuse_tokens(details, what)
        for key in _TOKENS[what]:
            if key in self.attributes:
                return int(self.attributes[key])
        for key in _USAGE_OBJECTS:
            found = self.attributes.get(key)
            for word, value in _pairs(found):
                if word in _USAGE_WORDS[what] and isinstance(value, int | float):
                    return int(value)
        return None

    def finish(self) -> set[str]:
        """Why the model stopped, in OpenAI's words."""
        found: set[str] = set()
        for key, value in self.attributes.items():
            if key.rpartition(".")[2] in ("finish_reason", "finish_reasons", "stop_reason"):
                found.update(map(str, value) if isinstance(value, list) else [str(value)])
            elif _is_output(key):
                for word, inner in _pairs(value):
                    if word in ("finish_reason", "stop_reason") and isinstance(inner, str):
                        found.add(inner)
        return {_FINISH.get(reason, reason) for reason in found}

    def output(self) -> list[str]:
        """Every text in what came out: answers, results, documents."""
        texts = [text for key, value in self.attributes.items() if _is_output(key) for text in _texts(value)]
        return texts + [
            text for _, event in self.received.events for value in event.values() for text in _texts(_decoded(value))
        ]

    def input(self) -> list[str]:
        """Every text in what went in: prompts, arguments, queries."""
        return [text for key, value in self.attributes.items() if _is_input(key) for text in _texts(value)]

    def everything(self) -> list[str]:
        """Every text anywhere in the attributes."""
        return [text for value in self.attributes.values() for text in _texts(value)]

    def sessions(self) -> set[str]:
        """The conversations that the span says it belongs to."""
        found = {str(value) for key, value in self.attributes.items() if key.endswith(_SESSION_KEYS)}
        for key, value in self.attributes.items():
            if "metadata" in key:
                found |= {str(inner) for word, inner in _pairs(value) if word in _SESSION_KEYS}
        return found

    def agent_names(self) -> set[str]:
        """Agents that LangChain's metadata names."""
        found = {str(value) for key, value in self.attributes.items() if key.endswith(_AGENT_KEY)}
        for key, value in self.attributes.items():
            if "metadata" in key:
                found |= {str(inner) for word, inner in _pairs(value) if word == _AGENT_KEY}
        return found

    def documents(self) -> int:
        """How many documents a retrieval says it found."""
        numbers = {
            match[1]
            for key in self.attributes
            if (match := re.match(r"retrieval\.documents\.(\d+)\.document\.content", key))
        }
        found = [_inner_list(value) for key, value in self.attributes.items() if _is_output(key)]
        return max([len(numbers), *(len(value) for value in found if isinstance(value, list))])


def read(spans: Collection[Received]) -> list[Seen]:
    """The spans with their parents and children, in the order in which they began."""
    parents = {span.parent_id for span in spans}
    seen = [
        _read(span)
        for span in sorted(spans, key=lambda span: (span.start, -span.end))
        # To make an agent is not to run it.
        if span.attributes.get("gen_ai.operation.name") != "create_agent" or span.span_id in parents
    ]
    known = {(span.trace_id, span.received.span_id): span for span in seen}
    for span in seen:
        if span.received.parent_id.strip("0"):
            span.parent = known.get((span.trace_id, span.received.parent_id))
            span.orphan = span.parent is None
            if span.parent is not None:
                span.parent.children.append(span)
    seen = [span for span in seen if not _merge(span)]
    for span in seen:
        # Most have no kind for agents. LangChain names them in the metadata that is handed on to what is below them.
        above = span.parent
        twice = above is not None and (above.kind, above.name) == ("agent", span.name)
        if span.kind == "span" and not twice and span.name in span.agent_names():
            span.kind = "agent"
    return seen


def _merge(span: Seen) -> bool:
    """Makes one of a call and the method of the same object behind it; but not where both claim tokens."""
    above = span.parent
    if above is None or span.kind not in _MERGED or (above.kind, above.name) != (span.kind, span.name):
        return False
    if len([each for each in above.children if (each.kind, each.name) == (span.kind, span.name)]) > 1:
        return False
    if not (_CALL.match(span.received.name) and _CALL.match(above.received.name)):
        return False
    if span.tokens("in") is not None and above.tokens("in") is not None:
        return False
    merged = {**span.received.attributes, **above.received.attributes}
    above.received.attributes.clear()
    above.received.attributes.update(merged)
    above.__dict__.pop("attributes", None)
    at = above.children.index(span)
    above.children[at : at + 1] = span.children
    for below in span.children:
        below.parent = above
    return True


def _read(span: Received) -> Seen:
    kind = "span"
    for key in _KIND_KEYS:
        if key in span.attributes:
            kind = _KIND_WORDS.get(str(_decoded(span.attributes[key])).lower(), "span")
            break
    name = _METHOD.sub(r"\1", _BEHIND.sub("", _BEFORE.sub("", span.name)))
    for key in _NAME_KEYS.get(kind, ()):
        if value := span.attributes.get(key):
            name = str(_decoded(value))
            break
    words = "ironspan.kind" in span.attributes
    # LangSmith's export has the exception and no status. Others record exceptions of spans that they know to be fine.
    raised = "langsmith.span.kind" in span.attributes and any(name == "exception" for name, _ in span.events)
    failed = span.failed or raised
    status = "error" if failed else str(span.attributes.get("ironspan.status", "ok"))
    return Seen(span, kind, name, status, words)


def _is_output(key: str) -> bool:
    key = key.lower()
    return any(word in key for word in ("output", "completion", "result", "document")) and "token" not in key


def _is_input(key: str) -> bool:
    key = key.lower()
    return any(word in key for word in ("input", "prompt", "argument", "query")) and "token" not in key


def _decoded(value: Any) -> Any:
    """JSON in a string becomes what it says; everything else stays."""
    if isinstance(value, str) and value[:1] in '{["':
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _texts(value: Any) -> Iterator[str]:
    """Every string in a value, also those in JSON within strings."""
    if isinstance(value, str):
        yield value
        if not isinstance(inner := _decoded(value), str):
            yield from _texts(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value in an object, however deep."""
    if isinstance(value := _decoded(value), dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _pairs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner)


def _inner_list(value: Any) -> Any:
    """The list in `{"documents": [...]}`, or the value."""
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.values()))
    return value


def _langfuse_tokens(details: dict[str, Any], what: str) -> int | None:
    """Langfuse keeps disjoint counts: `input` without what `input_cache_read` holds, and so on. Totals are the sums."""
    if what in ("in", "out"):
        words = ("input", "prompt") if what == "in" else ("output", "completion")
        return sum(int(value) for key, value in details.items() if any(word in key for word in words))
    ends = {
        "cached": ("input_cache_read", "input_cached_tokens", "cache_read_input_tokens"),
        "cache_write": ("input_cache_creation", "cache_creation_input_tokens"),
        "reasoning": ("output_reasoning", "output_reasoning_tokens"),
    }[what]
    found = [int(details[key]) for key in ends if key in details]
    return found[0] if found else None
