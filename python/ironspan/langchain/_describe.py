"""What a run is called, and how one ended. What its tags and metadata say is read by the core."""

from __future__ import annotations

from typing import Any

__all__ = ["conversation_of", "is_hidden", "is_node", "name_of", "outcome_of"]

#: Runs that LangChain and LangGraph mark as not worth showing.
_HIDDEN_TAG = "langsmith:hidden"
_NODE_TAG = "graph:step:"

_INTERRUPTED = frozenset({"GraphBubbleUp", "GraphInterrupt", "NodeInterrupt", "GraphDrained"})
_CANCELLED = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt"})


def name_of(serialized: Any, name: Any, fallback: str) -> str:
    """The run name given by the user or the framework, else the class's."""
    if isinstance(name, str) and name:
        return name
    if isinstance(serialized, dict):
        own = serialized.get("name")
        if isinstance(own, str) and own:
            return own
        path = serialized.get("id")
        if isinstance(path, list | tuple) and path:
            return str(path[-1])
    return fallback


def is_hidden(tags: Any) -> bool:
    """Whether the framework asks tracers not to show the run."""
    return isinstance(tags, list | tuple | set) and _HIDDEN_TAG in tags


def is_node(tags: Any) -> bool:
    """Whether the run is a node of a LangGraph graph."""
    return isinstance(tags, list | tuple | set) and any(
        isinstance(tag, str) and tag.startswith(_NODE_TAG) for tag in tags
    )


def conversation_of(metadata: dict[str, Any]) -> str | None:
    """The conversation a run belongs to, when the application names one."""
    for key in ("session_id", "thread_id", "conversation_id"):
        value = metadata.get(key)
        if value is not None and value != "":
            return str(value)
    return None


def outcome_of(error: Any) -> str:
    """How a run ended that ended with `error`: ``error``, ``cancelled``, ``interrupted`` or ``ok``.

    LangGraph steers with exceptions: a pause for a human is no failure, and a command to the parent graph is how a
    subgraph hands over. They are told by class name, so that LangGraph need not be installed.
    """
    names = {base.__name__ for base in type(error).__mro__}
    if "ParentCommand" in names:
        return "ok"
    if names & _INTERRUPTED:
        return "interrupted"
    return "cancelled" if names & _CANCELLED else "error"
