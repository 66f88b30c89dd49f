"""What a run is called, and how one ended. What its tags and metadata say is read by the core."""

from __future__ import annotations

from typing import Any

__all__ = ["name_of", "outcome_of"]

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
