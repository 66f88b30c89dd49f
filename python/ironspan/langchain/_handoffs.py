"""Who handed over to whom: a link with the role ``handoff`` from an agent's turn to the turn before it.

A turn is an agent's run in a node of a graph. Agents are nodes in the graphs of ``langgraph-supervisor`` and
``langgraph-swarm`` as in those that people draw themselves, and control goes from one to the other by a command
("go to this node of the parent graph") or along an edge. A turn is linked to those of the last step with turns, if a
command or an edge leads from there to here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ironspan._runs import RUNS, Run
from ironspan.langchain import _graph, _state

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ironspan import Span

__all__ = ["Turn", "begin", "end"]


#: A node's commands are few; longer lists are something else.
_MOST_COMMANDS = 64


class Turn:
    """One turn of an agent."""

    __slots__ = ("goto", "key", "node", "span", "step")

    def __init__(self, key: Hashable, node: str, step: Any, span: Span) -> None:
        self.key, self.node, self.step, self.span = key, node, step, span
        #: Nodes to which its commands went, when there were any.
        self.goto: set[str] = set()


def begin(above: Run | None, key: Hashable, span: Span) -> None:
    """Links an agent's turn that is about to begin.

    Args:
        above: The run above the agent's.
        key: The key of the agent's run.
        span: Its span.
    """
    found = _place(above)
    if found is None:
        return
    graph, node, metadata = found
    name, step = metadata.get("langgraph_node"), metadata.get("langgraph_step")
    if not isinstance(name, str) or not isinstance(step, int):
        return
    last = max((turn.step for turn in graph.turns.values() if turn.step < step), default=None)
    for turn in graph.turns.values():
        if turn.step == last and turn.node != name and _leads(graph.graph, turn, name):
            span.link(turn.span, role="handoff")
    now = graph.turns.get(name)
    if now is None or now.key != node.key:
        # An agent that is called by an agent of the same node is a part of that one's turn.
        graph.turns[name] = Turn(node.key, name, step, span)


def end(run: Run, outcome: Any) -> None:
    """Notes where the commands go that a run ended with, if it is an agent's, a node or something between.

    Args:
        run: The run that ended.
        outcome: What it returned or was left by.
    """
    if type(outcome) is dict or outcome is None:
        return
    goto: set[str] = set()
    for said in outcome if isinstance(outcome, list | tuple) and len(outcome) <= _MOST_COMMANDS else (outcome,):
        if type(said).__name__ == "Command":
            _collect(getattr(said, "goto", None), goto)
    if goto and (found := _place(run)) is not None:
        graph, node, metadata = found
        turn = graph.turns.get(str(metadata.get("langgraph_node")))
        if turn is not None and turn.key == node.key:
            turn.goto |= goto


def _place(run: Run | None) -> tuple[_state.GraphRun, Run, dict[str, Any]] | None:
    """The graph and the node in which a run takes place, and the node's metadata."""
    for step in RUNS.ancestry(run) if run is not None else ():
        above = RUNS.find(step.parent)
        graph = _state.graph_run(step.parent)
        if graph is not None and above is not None and step.metadata and _state.is_task(step.metadata, above):
            return graph, step, step.metadata
    return None


def _leads(graph: Any, turn: Turn, name: str) -> bool:
    return name in turn.goto if turn.goto else _graph.leads(graph, turn.node, name)


def _collect(goto: Any, into: set[str]) -> None:
    """The names of the nodes in what a command says: a name, something sent to a node, or several of them."""
    for each in goto if isinstance(goto, list | tuple) else (goto,):
        node = getattr(each, "node", each)
        if isinstance(node, str):
            into.add(node)
