"""The start of a chain in a program that uses LangGraph: it may be a graph, a node, an edge, or none of these.

What the callback brings does not say which; LangGraph's own loop and the runs above do. Programs of LangChain alone
never come here.
"""

from __future__ import annotations

from typing import Any

from ironspan import Span
from ironspan._runs import RUNS
from ironspan.langchain import _describe, _graph, _handoffs, _interrupts, _state

__all__ = ["begin"]

_NOTHING: dict[str, Any] = {}


def begin(
    verb: str,
    name: str,
    run_id: Any,
    parent_run_id: Any,
    tags: Any,
    metadata: Any,
    inputs: Any,
    full_state: bool,
) -> None:
    """Begins the run of a chain.

    Args:
        verb: What it is, if nothing here says otherwise: ``workflow`` or ``span``.
        name: The run's name.
        run_id: The framework's id.
        parent_run_id: The id of the run above.
        tags: The run's tags.
        metadata: The run's metadata.
        inputs: What the framework hands to it.
        full_state: Whether a node's input is the whole state.
    """
    if _describe.is_hidden(tags) or RUNS.get(run_id) is not None:
        RUNS.begin(verb, name, run_id, parent_run_id, tags, metadata)
        return
    known = metadata if isinstance(metadata, dict) else _NOTHING
    above = RUNS.above(parent_run_id)
    attributes: dict[str, Any] = {}
    graph = _graph.begun()
    if graph is None:
        shown = _state.shown(name, above, tags, known, inputs, attributes, full_state)
    else:
        shown = _state.plain(inputs)
        if _graph.is_agent(graph):
            verb = "agent"
    run = RUNS.begin(verb, name, run_id, parent_run_id, tags, metadata, input=shown, attributes=attributes or None)
    if run is None or not isinstance(run.span, Span):
        return
    if graph is not None:
        _state.begin(run_id, run.key, graph, inputs)
    if run.span.kind == "agent":
        _handoffs.begin(above, run.key, run.span)
    _interrupts.link_resumed(run.span, inputs, known)
