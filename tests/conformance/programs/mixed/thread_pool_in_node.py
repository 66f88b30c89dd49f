"""A node of a graph that asks two models in the threads of a plain `ThreadPoolExecutor`.

To be seen: the spans of the threads, and the calls in them, below the node.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("up", "sky")
p.when("down", "sea")


class State(TypedDict):
    seen: list[str]


def look(state: State, config: RunnableConfig) -> Any:
    def ask(where: str) -> str:
        with p.span(f"ask {where}"):
            return str(ChatOpenAI(model="gpt-4o-mini").invoke(where, config).content)

    with ThreadPoolExecutor(2) as pool:
        return {"seen": list(pool.map(ask, ("up", "down")))}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("look", look)
    graph.add_edge(START, "look")
    assert graph.compile(name="watch").invoke({"seen": []}, p.config())["seen"] == ["sky", "sea"]
