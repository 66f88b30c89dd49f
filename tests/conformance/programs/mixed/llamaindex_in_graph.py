"""A LlamaIndex query inside a node of a LangGraph graph, in a span of the user's.

To be seen: one trace; retrieval and model call below the user's span, that one below its node.
"""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide tables", "At noon.")


class State(TypedDict):
    question: str
    answer: str


class Shelf(BaseRetriever):
    """Always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="tide tables of Brest"), score=0.5)]


def look(state: State) -> dict[str, str]:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=OpenAI(model="gpt-4o-mini"))
    with p.span("mine"):
        return {"answer": str(engine.query(state["question"]))}


def main() -> None:
    graph = StateGraph(State)
    graph.add_node("look", look)
    graph.add_edge(START, "look")
    graph.add_edge("look", END)
    done = graph.compile(name="harbour").invoke({"question": "When is high tide?", "answer": ""}, p.config())
    assert done["answer"] == "At noon."
