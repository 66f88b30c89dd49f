"""What of a LangGraph state a span shows: what is new, not the whole history once for every node.

LangGraph hands each node the whole state. The graph's own span has it in full when the graph begins and when it ends;
in between, a node is given what no earlier step was given, and ``ironspan.state.unchanged`` names the rest: ``topic``
is a key that is left out, ``messages[:12]`` the first twelve items of a list of which the others are there.

What is the same is told by identity, of values and of the items of lists. LangGraph's channels keep the objects that
they hold, and comparing contents would cost more than recording them. Plain numbers and texts are compared by value.

Nodes of the same step run side by side and are given the same state, so each of them shows the same news: a step is
compared with the steps before it. The argument of a `Send` is no state, it is shown whole.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any

from ironspan.langchain import _describe

if TYPE_CHECKING:
    from ironspan._runs import Run
    from ironspan.langchain._handoffs import Turn

__all__ = ["UNCHANGED", "GraphRun", "begin", "failed", "forget", "graph_run", "is_task", "plain", "shown"]

#: Keys of the state that a node's input leaves out, and how many items of lists.
UNCHANGED = "ironspan.state.unchanged"

#: How a node's path begins that reads the state; one that was sent its argument has another.
_READS_STATE = "__pregel_pull"
#: Name of what LangGraph schedules, the same for every attempt at it.
_TASK = "langgraph_checkpoint_ns"
#: The only step of the node `agent` of `create_react_agent`, which is a run of its own.
_SAME_AS_NODE = frozenset({"call_model", "acall_model"})
#: Tags of what runs inside a node: first what it is made of, where that is a graph or a chain, then its edges.
_STEP_TAG, _FIRST_STEP_TAG = "seq:step:", "seq:step:1"
#: The whole state, where it is a list and has no keys.
_ROOT = ""
#: Equal is as good as the same for these, and comparing them runs no code of the user's.
_PLAIN = frozenset({str, int, float, bool})
_MOST_GRAPHS = 10_000
_NOTHING: dict[str, Any] = {}


class GraphRun:
    """One run of a graph: what the inputs of its spans have shown so far. Lists are held as tuples of their items."""

    __slots__ = ("argument", "failures", "fresh", "given", "graph", "known", "step", "turns", "watch")

    def __init__(self, graph: Any, argument: Any) -> None:
        #: The compiled graph.
        self.graph = graph
        #: What the graph was called with, as it is.
        self.argument = argument
        #: By name of the node: what it was given last, what of it was shown and what was left out.
        self.given: dict[str, tuple[Any, Any, Any]] = {}
        #: By name of the node: the last turn of an agent in it.
        self.turns: dict[str, Turn] = {}
        #: Shown by the steps before this one; made when a first node asks.
        self.known: dict[str, Any] | None = None
        #: Shown by this step.
        self.fresh: dict[str, Any] = {}
        self.step: Any = None
        #: How often each task has failed, for those that are tried again.
        self.failures: dict[Any, int] = {}
        self.watch: weakref.ref[Any] | None = None

    def enter(self, step: Any) -> dict[str, Any]:
        """What was shown before `step`."""
        known = self.known
        if known is not None and step == self.step:
            return known
        with _lock:
            if self.known is None:
                self.known = {key: _held(value) for key, value in (_values(self.argument) or _NOTHING).items()}
            if step != self.step:
                # A new mapping: nodes of the step before may still be looking at the old one.
                self.known = {**self.known, **self.fresh}
                self.fresh, self.step = {}, step
            return self.known


_graphs: dict[Hashable, GraphRun] = {}
_lock = threading.Lock()


def begin(run_id: Any, key: Hashable, graph: Any, inputs: Any) -> None:
    """Enters the run of a graph.

    Args:
        run_id: The framework's id of the run.
        key: The key of it.
        graph: The compiled graph.
        inputs: What it is called with.
    """
    if len(_graphs) >= _MOST_GRAPHS:
        return
    run = GraphRun(graph, inputs)
    try:
        # A run may be forgotten without a callback; its id lives exactly as long as the run.
        run.watch = weakref.ref(run_id, partial(_graphs.pop, key))
    except TypeError:
        return
    _graphs[key] = run


def graph_run(key: Hashable | None) -> GraphRun | None:
    """The run of a graph, while it goes on."""
    return _graphs.get(key)


def shown(
    name: str, above: Run | None, tags: Any, metadata: dict[str, Any], inputs: Any, into: dict[str, Any], full: bool
) -> Any:
    """The input that the span of a chain, node or edge is to have.

    Args:
        name: The run's name.
        above: The run above.
        tags: The run's tags.
        metadata: The run's metadata.
        inputs: What the framework hands to it.
        into: The span's attributes; the names of what is left out and the number of the attempt are added.
        full: Whether nothing is to be left out.
    """
    path = metadata.get("langgraph_path") if above is not None and _graphs else None
    if not path or above is None:
        return plain(inputs)
    is_node = _describe.is_node(tags)
    # An edge hangs below its node, and a task below the node that calls it.
    graph = _graphs.get(above.key if is_node else above.parent)
    if graph is None:
        return plain(inputs)
    if graph.failures and is_task(metadata, above) and (failures := graph.failures.get(metadata[_TASK])):
        into["ironspan.attempt"] = failures + 1
    if full or path[0] != _READS_STATE:
        return plain(inputs)
    if is_node:
        return _news(graph, metadata, inputs, into)
    return _news_below_node(graph, name, tags, metadata, inputs, into)


def failed(run: Run, above: Run | None) -> None:
    """Counts the failure of a node or a task, for when it is tried again."""
    if above is not None and run.metadata is not None and is_task(run.metadata, above):
        graph = _graphs.get(above.key) or _graphs.get(above.parent)
        if graph is not None:
            task = run.metadata[_TASK]
            graph.failures[task] = graph.failures.get(task, 0) + 1


def is_task(metadata: dict[str, Any], above: Run) -> bool:
    """Whether LangGraph schedules the run by itself. What runs inside inherits the name."""
    task = metadata.get(_TASK)
    return task is not None and task != (above.metadata or _NOTHING).get(_TASK)


def forget(key: Hashable) -> bool:
    """Lets go of the state of a run that ended; says whether it was a graph's."""
    return _graphs.pop(key, None) is not None


def _news(graph: GraphRun, metadata: dict[str, Any], inputs: Any, into: dict[str, Any]) -> Any:
    values = None if inputs is graph.argument else _values(inputs)
    if values is None:
        # No state: a function's argument, or an object that keeps its own.
        return plain(inputs)
    known = graph.enter(metadata.get("langgraph_step"))
    news = _difference(values, known, into, graph.fresh)
    graph.given[str(metadata.get("langgraph_node"))] = (inputs, news, into.get(UNCHANGED))
    return news


def _news_below_node(
    graph: GraphRun, name: str, tags: Any, metadata: dict[str, Any], inputs: Any, into: dict[str, Any]
) -> Any:
    """An edge behind a node sees the state with what the node wrote."""
    given, news, left_out = graph.given.get(str(metadata.get("langgraph_node")), (None, None, None))
    if given is inputs and given is not None and name in _SAME_AS_NODE:
        if left_out:
            into[UNCHANGED] = left_out
        return news
    values = _values(inputs) if _is_behind_node(tags) else None
    known = {**graph.enter(metadata.get("langgraph_step")), **graph.fresh} if values is not None else _NOTHING
    if values is None or not values.keys() <= known.keys():
        # A step of the node's own, which is handed something else.
        return plain(inputs)
    return _difference(values, known, into)


def _is_behind_node(tags: Any) -> bool:
    return any(isinstance(tag, str) and tag.startswith(_STEP_TAG) and tag != _FIRST_STEP_TAG for tag in tags or ())


def _difference(
    values: dict[str, Any], known: dict[str, Any], into: dict[str, Any], fresh: dict[str, Any] | None = None
) -> Any:
    news: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in values.items():
        before = known.get(name, known)
        held = value
        if isinstance(value, list):
            same = _common(before, value) if type(before) is tuple else 0
            if type(before) is tuple and same == len(value) == len(before):
                left_out.append(name or f"[:{same}]")
                held = before
            else:
                news[name] = value[same:] if same else value
                if same:
                    left_out.append(f"{name}[:{same}]")
                held = tuple(value)
        elif value is before or (type(value) is type(before) and type(value) in _PLAIN and value == before):
            left_out.append(name)
        else:
            news[name] = value
        if fresh is not None:
            fresh[name] = held
    if left_out:
        into[UNCHANGED] = left_out
    return news.get(_ROOT, []) if _ROOT in values else news


def _common(before: tuple[Any, ...], now: list[Any]) -> int:
    """How many items at the beginning are the same objects."""
    if all(map(is_, before, now)):
        return min(len(before), len(now))
    return next(place for place, (one, other) in enumerate(zip(before, now, strict=False)) if one is not other)


def _values(state: Any) -> dict[str, Any] | None:
    """The state by keys: a mapping's own, the fields of a dataclass or a model; one key for a list."""
    if isinstance(state, dict):
        return state
    if isinstance(state, list):
        return {_ROOT: state}
    if hasattr(type(state), "__dataclass_fields__") or hasattr(type(state), "__pydantic_fields__"):
        fields = getattr(state, "__dict__", None)
        return fields if isinstance(fields, dict) else None
    return None


def _held(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass
class Command:
    """LangGraph's command, with what it says and without what it leaves at its default."""


@dataclass
class Send:
    """LangGraph's packet for one node, in a form that is read field by field."""


_FIELDS = {"Command": (Command, ("update", "goto", "resume", "graph")), "Send": (Send, ("node", "arg"))}


def plain(value: Any) -> Any:
    """A value as it is, but for LangGraph's commands: those with the update and where to go, field by field."""
    kind = type(value)
    if kind is dict or value is None:
        return value
    if kind is list or kind is tuple:
        # One look at the classes in it: what a chain returns may be long.
        return [plain(item) for item in value] if any(map(_is_steering, set(map(type, value)))) else value
    if not _is_steering(kind):
        return value
    made, fields = _FIELDS[kind.__name__]
    shell = made()
    for name in fields:
        said = getattr(value, name, None)
        if said is not None and said != ():
            shell.__dict__[name] = plain(said)
    return shell


def _is_steering(kind: type) -> bool:
    return kind.__name__ in _FIELDS and kind.__module__.startswith("langgraph.")
