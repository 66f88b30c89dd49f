"""A graph that sends one task for each subject to the same node, as many as there are, and joins them.

To be seen: three runs of the one node, each with its own generation; then the join.
"""

import operator
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from tests.conformance import program as p

for subject in ("cats", "dogs", "newts"):
    p.when(subject, f"joke about {subject}")


class State(TypedDict):
    subjects: list[str]
    jokes: Annotated[list[str], operator.add]


def joke(task: dict[str, str]) -> Any:
    with p.span(f"write {task['subject']}"):
        return {"jokes": [ChatOpenAI(model="gpt-4o-mini").invoke(f"A joke on {task['subject']}").content]}


def pick(state: State) -> Any:
    assert len(state["jokes"]) == 3
    return {}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("joke", joke)
    graph.add_node("pick", pick)
    graph.add_conditional_edges(START, lambda s: [Send("joke", {"subject": name}) for name in s["subjects"]], ["joke"])
    graph.add_edge("joke", "pick")
    graph.compile(name="comedy").invoke({"subjects": ["cats", "dogs", "newts"], "jokes": []}, p.config())
