"""An asynchronous graph whose nodes are plain functions, which LangGraph runs in threads.

To be seen: the same tree as with asynchronous nodes: node, the user's span, the model call.
"""

import operator
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("from A", "answer A")
p.when("from B", "answer B")


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def ask(name: str) -> Any:
    def node(state: State) -> Any:
        with p.span(f"mine {name}"):
            return {"seen": [ChatOpenAI(model="gpt-4o-mini").invoke(f"from {name}").content]}

    return node


async def main() -> None:
    graph = StateGraph(State)
    for name in "AB":
        graph.add_node(name, ask(name))
        graph.add_edge(START, name)
    state = await graph.compile(name="work").ainvoke({"seen": []}, p.config())
    assert sorted(state["seen"]) == ["answer A", "answer B"]
