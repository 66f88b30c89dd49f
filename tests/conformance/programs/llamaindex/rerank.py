"""Two pages are found, and a model picks the one that the answer is made from.

To be seen: the rerank between retrieval and answer, with the model call that it makes.
"""

from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("Document 2", "Doc: 2, Relevance: 9")
p.when("recipes", "wrong page")
p.when("tide tables", "At noon.")


class Shelf(BaseRetriever):
    """Always finds the same two pages."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in ("recipes", "tide tables of Brest")]


def main() -> None:
    model = OpenAI(model="gpt-4o-mini")
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=model, node_postprocessors=[LLMRerank(llm=model, top_n=1)])
    with p.span("harbour"):
        assert str(engine.query("When is high tide?")) == "At noon."
