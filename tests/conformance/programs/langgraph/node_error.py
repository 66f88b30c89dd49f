"""A graph whose second node fails.

To be seen: the node and the graph failed, the node before them did not.
"""

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("numbers", "one, two, many")


class State(TypedDict):
    text: str


def ask(state: State) -> Any:
    return {"text": ChatOpenAI(model="gpt-4o-mini").invoke("numbers").content}


def parse(state: State) -> Any:
    return {"text": [int(word) for word in state["text"].split(", ")]}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_node("parse", parse)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "parse")
    try:
        graph.compile(name="census").invoke({"text": ""}, p.config())
    except ValueError:
        return
    raise AssertionError("the failure was swallowed")
