"""What a call of LlamaIndex is: which verb stands for it, under which name, and what of its arguments is its input.

The dispatcher announces every decorated method, three layers of a query engine among them. What only passes a call on
(`_query` below `query`, `predict` above `complete`) is not shown: what happens inside hangs below the call around it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

__all__ = [
    "AGENT_CLASSES",
    "AGENT_STEPS",
    "EMBEDDINGS",
    "ENGINE_CALLS",
    "LLM_CALLS",
    "LLM_STREAMS",
    "acts_of",
    "argument",
    "ending_of",
    "event_of",
    "fields_of",
    "is_a",
    "is_hidden",
    "is_output_tool",
    "model_of",
    "params_of",
    "provider_of",
    "text_of",
    "tool_arguments",
]

#: Calls of a model. The other methods of a model end in one of these.
LLM_CALLS = frozenset(
    {
        "chat",
        "achat",
        "stream_chat",
        "astream_chat",
        "complete",
        "acomplete",
        "stream_complete",
        "astream_complete",
    }
)
LLM_STREAMS = frozenset(name for name in LLM_CALLS if "stream" in name)

#: Calls of an embedding model, and the argument that holds what is embedded.
EMBEDDINGS = {
    "get_query_embedding": "query",
    "aget_query_embedding": "query",
    "get_text_embedding": "text",
    "aget_text_embedding": "text",
    "get_text_embedding_batch": "texts",
    "aget_text_embedding_batch": "texts",
    "get_agg_embedding_from_queries": "queries",
    "aget_agg_embedding_from_queries": "queries",
}

#: Steps of the agents that come with LlamaIndex. They are machinery; what they call is what the agent does.
AGENT_STEPS = frozenset(
    {
        "init_run",
        "setup_agent",
        "run_agent_step",
        "parse_agent_output",
        "call_tool",
        "aggregate_tool_results",
    }
)

#: The classes that define them.
AGENT_CLASSES = frozenset({"AgentWorkflow", "BaseWorkflowAgent"})

#: Calls of engines, synthesizers, and the agents of older versions. Their other methods are steps of these.
ENGINE_CALLS = frozenset(
    {"query", "aquery", "chat", "achat", "stream_chat", "astream_chat", "synthesize", "asynthesize"}
)

#: What the old `CallbackManager` calls the acts that the dispatcher announces as calls of these classes: types of
#: events and names of traces. `query` is both.
_ACTS: dict[str, frozenset[str]] = {
    "BaseLLM": frozenset({"llm", "templating", "chat", "completion"}),
    "MultiModalLLM": frozenset({"llm", "chat", "completion"}),
    "BaseEmbedding": frozenset({"embedding"}),
    "BaseRetriever": frozenset({"retrieve", "query"}),
    "BaseQueryEngine": frozenset({"query"}),
    "BaseChatEngine": frozenset({"chat", "query", "agent_step"}),
    "BaseSynthesizer": frozenset({"synthesize"}),
    "BaseTool": frozenset({"function_call"}),
    "BaseNodePostprocessor": frozenset({"reranking"}),
    "NodeParser": frozenset({"node_parsing"}),
    "QueryPipeline": frozenset({"query"}),
    # The worker of an agent tells of the tool that it is about to call; the tool's own call is announced.
    "BaseAgentWorker": frozenset({"function_call", "agent_step", "chat", "run_step"}),
}
_SPLITS = frozenset({"split_text", "split_text_metadata_aware"})

_PASSES_ON = frozenset(
    {
        "predict",
        "apredict",
        "stream",
        "astream",
        "structured_predict",
        "astructured_predict",
        "stream_structured_predict",
        "astream_structured_predict",
        "predict_and_call",
        "apredict_and_call",
        "chat_with_tools",
        "achat_with_tools",
        "stream_chat_with_tools",
        "astream_chat_with_tools",
        "get_response",
        "aget_response",
        "split_text",
        "split_text_metadata_aware",
        "write_response_to_history",
        "awrite_response_to_history",
    }
)
#: Classes whose calls only format a prompt or parse an answer.
_GLUE = frozenset({"BaseOutputParser", "BasePydanticProgram", "BaseAgentWorker", "DefaultRefineProgram"})

#: Settings of a model that are parameters of a request.
_PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "num_output": "max_tokens",
    "seed": "seed",
    "stop": "stop",
}
#: Arguments of a call that are.
_CALL_PARAMS = frozenset({"temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "tool_choice"})

#: How the frameworks' control flow ends a step: neither is an error.
_ENDINGS = {"WaitingForEvent": "interrupted", "WorkflowCancelledByUser": "cancelled"}


def is_hidden(method: str, kind: type) -> bool:
    """Whether the method of a class only passes a call on."""
    return (
        (method.startswith("_") and method != "__call__") or method in _PASSES_ON or not _GLUE.isdisjoint(_line(kind))
    )


def is_a(kind: type, name: str) -> bool:
    """Whether a class or one that it derives from has that name: for classes that only some versions have."""
    return name in _line(kind)


@lru_cache(maxsize=1024)
def _line(kind: type) -> frozenset[str]:
    return frozenset(step.__name__ for step in kind.__mro__)


@lru_cache(maxsize=1024)
def acts_of(kind: type, method: str) -> frozenset[str]:
    """What the old `CallbackManager` calls the act that a call of this method stands for."""
    line = _line(kind)
    acts: frozenset[str] = frozenset().union(*(acts for name, acts in _ACTS.items() if name in line))
    if method in _SPLITS:
        acts |= {"chunking"}
    ours = kind.__module__.startswith("llama_index.")
    if ours and "BaseQueryEngine" in line and "KnowledgeGraphQueryEngine" not in line:
        # The engines that tell of a retrieval call a retriever for it, which is announced; that one asks a graph.
        acts |= {"retrieve"}
    return acts


def is_output_tool(tool: Any) -> bool:
    """Whether a tool only builds the object that a structured answer describes: it is none of the program's."""
    function = getattr(tool, "_real_fn", None) or getattr(tool, "_fn", None)
    return str(getattr(function, "__module__", "")).startswith("llama_index.core.program.")


def tool_arguments(bound: Any) -> Any:
    """What a tool is called with, without the workflow's context that LlamaIndex hands to the tools that ask for it."""
    given = bound.arguments
    keywords, rest = given.get("kwargs"), given.get("args")
    if isinstance(keywords, dict):
        keywords = {name: value for name, value in keywords.items() if not _is_context(value)}
    if isinstance(rest, tuple):
        rest = [value for value in rest if not _is_context(value)]
    return keywords or given.get("input") or rest or {}


def _is_context(value: Any) -> bool:
    kind = type(value)
    return kind.__name__ == "Context" and kind.__module__.split(".")[0] in ("workflows", "llama_index")


def argument(bound: Any, name: str, place: int = 0) -> Any:
    """An argument by name, or the one at `place` where a wrapper hides the names behind ``*args``."""
    given = bound.arguments
    if name in given:
        return given[name]
    keywords = given.get("kwargs")
    if isinstance(keywords, dict) and name in keywords:
        return keywords[name]
    rest = given.get("args")
    return rest[place] if isinstance(rest, tuple) and len(rest) > place else None


def event_of(bound: Any) -> Any:
    """The event that a step of a workflow is called with, whatever its parameter is called; else `None`."""
    given = bound.arguments
    if "ev" in given:
        return given["ev"]
    return next((value for value in given.values() if is_a(type(value), "Event")), None)


def fields_of(event: Any) -> Any:
    """What an event holds: beside the fields of its class those that the program made up, which are no fields to it."""
    made_up = getattr(event, "_data", None)
    if not isinstance(made_up, dict) or not made_up:
        return event
    return {**{name: getattr(event, name, None) for name in type(event).model_fields}, **made_up}


def text_of(value: Any) -> Any:
    """The text of a query, which may be a bundle of it and its embedding."""
    return getattr(value, "query_str", value)


def model_of(model: Any) -> str:
    """The name of a language or embedding model: its own, else its class's."""
    for name in (_metadata(model, "model_name"), getattr(model, "model", None), getattr(model, "model_name", None)):
        if isinstance(name, str) and name and name != "unknown":
            return name
    return type(model).__name__


def provider_of(model: Any) -> str | None:
    """Who serves a model: the name of the package that it comes from, ``llama_index.llms.openai`` say."""
    parts = type(model).__module__.split(".")
    if len(parts) > 2 and parts[0] == "llama_index" and parts[1] in ("llms", "embeddings"):
        return parts[2]
    return None


def params_of(model: Any, bound: Any) -> dict[str, Any] | None:
    """Parameters of a request: the model's settings, and over them what this call says."""
    params = {}
    for setting, name in _PARAMS.items():
        value = getattr(model, setting, None)
        if isinstance(value, int | float | str | list) and not isinstance(value, bool):
            params[name] = value
    keywords = bound.arguments.get("kwargs")
    if isinstance(keywords, dict):
        params.update({name: value for name, value in keywords.items() if name in _CALL_PARAMS})
    return params or None


def ending_of(error: BaseException) -> str | None:
    """How a call ended that one of the frameworks' own exceptions left; `None` when the exception tells it itself."""
    for step in type(error).__mro__:
        if step.__name__ in _ENDINGS and step.__module__.split(".")[0] in ("workflows", "llama_index"):
            return _ENDINGS[step.__name__]
    return None


def _metadata(model: Any, name: str) -> Any:
    try:
        return getattr(model.metadata, name, None)
    except Exception:
        # A property of somebody's class: a model that cannot tell its name still has its class's.
        return None
