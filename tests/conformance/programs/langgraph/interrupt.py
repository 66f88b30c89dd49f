"""A graph that stops to ask a person, and is resumed with the answer, as two calls of the program.

To be seen: two runs of one conversation. The first is interrupted, which is no failure; the second belongs to it.
"""

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from tests.conformance import program as p

p.when("draft", "Dear all,")


class State(TypedDict):
    text: str


def write(state: State) -> Any:
    return {"text": ChatOpenAI(model="gpt-4o-mini").invoke("a draft").content}


def approve(state: State) -> Any:
    return {"text": f"{state['text']} {interrupt({'question': 'send it?'})}"}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("write", write)
    graph.add_node("approve", approve)
    graph.add_edge(START, "write")
    graph.add_edge("write", "approve")
    letter = graph.compile(name="letter", checkpointer=InMemorySaver())
    settings = p.config(configurable={"thread_id": "t-42"})
    assert letter.invoke({"text": ""}, settings)["__interrupt__"]
    assert letter.invoke(Command(resume="sent"), settings)["text"] == "Dear all, sent"
