"""A graph as a node of a graph; the inner node asks a model in a span of the user's.

To be seen: outer graph, node, inner graph, inner node, span, generation, each below the one before.
"""

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("deep down", "the seabed")


class State(TypedDict):
    found: str


def dive(state: State) -> Any:
    with p.span("dive"):
        return {"found": ChatOpenAI(model="gpt-4o-mini").invoke("What is deep down?").content}


def main() -> None:
    inner = StateGraph(State)
    inner.add_node("diver", dive)
    inner.add_edge(START, "diver")
    outer = StateGraph(State)
    outer.add_node("below", inner.compile(name="submarine"))
    outer.add_edge(START, "below")
    assert outer.compile(name="ship").invoke({"found": ""}, p.config())["found"] == "the seabed"
