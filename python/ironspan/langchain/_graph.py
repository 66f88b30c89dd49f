"""What only LangGraph's own loop knows of a graph: that it is one, who made it, and whether it has stopped on the way.

Callbacks tell a graph like any other chain. The code that makes the callback is LangGraph's, though, and holds the
graph in its local variables; so this looks there, and nowhere but in the function that called the callback manager.
Where that is another function, or another LangGraph, the answer is "no".
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["begun", "is_agent", "is_at_breakpoint", "is_loaded", "leads"]

_LOOPS = frozenset({"stream", "astream"})
_BREAKPOINTS = frozenset({"interrupt_before", "interrupt_after"})
_LOOP_MODULE = "langgraph.pregel"
#: Modules between LangGraph and us.
_BETWEEN = ("ironspan.", "langchain_core.callbacks.")
#: Where the agents are made that carry no mark.
_AGENT_MAKER = "langgraph.prebuilt.chat_agent_executor"


def is_loaded() -> bool:
    """Whether the program uses LangGraph."""
    return _LOOP_MODULE in sys.modules


def begun() -> Any:
    """The compiled graph whose start is being told here; ``None`` for any other chain."""
    return _local("self")


def is_at_breakpoint() -> bool:
    """Whether the graph whose end is being told here has stopped before it was through."""
    return getattr(_local("loop"), "status", None) in _BREAKPOINTS


def is_agent(graph: Any) -> bool:
    """Whether `create_react_agent` made the graph."""
    nodes = getattr(graph, "nodes", None)
    bound = getattr(nodes.get("agent"), "bound", None) if isinstance(nodes, dict) else None
    return getattr(getattr(bound, "func", None), "__module__", None) == _AGENT_MAKER


def leads(graph: Any, one: str, other: str) -> bool:
    """Whether an edge of the graph may lead from one node to the other; so it may where that is not known."""
    builder = getattr(graph, "builder", None)
    if builder is None:
        return True
    if (one, other) in builder.edges or any(other == to and one in start for start, to in builder.waiting_edges):
        return True
    ends = [branch.ends for branch in builder.branches.get(one, {}).values()]
    return any(known is None or other in known.values() for known in ends)


def _local(name: str) -> Any:
    frame: Any = sys._getframe(3)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None or frame.f_code.co_name not in _LOOPS:
        return None
    if not str(frame.f_globals.get("__name__")).startswith(_LOOP_MODULE):
        return None
    return frame.f_locals.get(name)
