"""A graph that is streamed and dropped after its first step.

To be seen: the graph ended and is no failure; the second node never ran.
"""

from contextlib import closing
from typing import Any, TypedDict

from langgraph.graph import START, StateGraph

from tests.conformance import program as p


class State(TypedDict):
    text: str


def step(text: str) -> Any:
    return lambda state: {"text": text}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("one", step("first"))
    graph.add_node("two", step("second"))
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    with closing(graph.compile(name="stairs").stream({"text": ""}, p.config())) as steps:
        assert next(steps) == {"one": {"text": "first"}}
