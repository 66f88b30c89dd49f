"""A graph that is streamed; its consumer holds a span of its own open while it asks for the next step.

To be seen: the nodes below the graph, not below the consumer's span; the consumer's span beside the graph.
"""

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("step one", "first")
p.when("step two", "second")


class State(TypedDict):
    text: str


def ask(question: str) -> Any:
    return lambda state: {"text": ChatOpenAI(model="gpt-4o-mini").invoke(question).content}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("one", ask("step one"))
    graph.add_node("two", ask("step two"))
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    with p.span("request"):
        steps = graph.compile(name="stairs").stream({"text": ""}, p.config())
        assert next(steps) == {"one": {"text": "first"}}
        with p.span("consumer"):
            assert list(steps) == [{"two": {"text": "second"}}]
