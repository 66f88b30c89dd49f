"""A streamed answer, read after the query has returned.

To be seen: the generation in the query that was asked, with its text, although the model was asked later.
"""

from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide tables", "Twice a day.")


class Shelf(BaseRetriever):
    """Always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="tide tables of Brest"), score=0.5)]


def main() -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=OpenAI(model="gpt-4o-mini"), streaming=True)
    with p.span("harbour"):
        answer = engine.query("When is high tide?")
    assert "".join(answer.response_gen) == "Twice a day."
