"""Three questions at once, each in a span of the user's.

To be seen: each retrieval and generation below the span of its own question.
"""

import asyncio

from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

PLACES = ("Bergen", "Brest", "Cork")
for place in PLACES:
    p.when(f"Query: {place}?", f"Noon in {place}.")


class Shelf(BaseRetriever):
    """Finds a page for each place."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=f"tide tables for {query_bundle.query_str}"), score=0.5)]


async def ask_all() -> None:
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=OpenAI(model="gpt-4o-mini"))

    async def ask(place: str) -> str:
        with p.span(place):
            return str(await engine.aquery(f"{place}?"))

    with p.span("harbours"):
        assert await asyncio.gather(*map(ask, PLACES)) == [f"Noon in {place}." for place in PLACES]


def main() -> None:
    asyncio.run(ask_all())
