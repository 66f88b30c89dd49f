"""Two nodes side by side and one after them; in each, a span of the user's around a model call.

To be seen: the call below the user's span, that below its node, all three nodes below the graph.
"""

import operator
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("from A", "answer A")
p.when("from B", "answer B")
p.when("from C", "answer C")


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def ask(name: str) -> Any:
    def node(state: State) -> Any:
        with p.span(f"mine {name}"):
            answer = ChatOpenAI(model="gpt-4o-mini").invoke(f"from {name}")
        return {"seen": [answer.content]}

    return node


def main() -> None:
    graph = StateGraph(State)
    for name in "ABC":
        graph.add_node(name, ask(name))
    graph.add_edge(START, "A")
    graph.add_edge(START, "B")
    graph.add_edge(["A", "B"], "C")
    state = graph.compile(name="work").invoke({"seen": []}, p.config())
    assert sorted(state["seen"]) == ["answer A", "answer B", "answer C"]
