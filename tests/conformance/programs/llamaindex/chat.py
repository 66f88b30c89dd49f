"""A conversation of two turns: the second question is rewritten by the model before it is looked up.

To be seen: a trace for each turn, the second with the rewriting as a model call of its own.
"""

from llama_index.core.chat_engine import CondensePlusContextChatEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("Standalone question", "When is high tide in Brest?")
p.when("in Brest", "At noon.")
p.when("Hello", "Hello!")
p.when("there?", "At noon.")


class Shelf(BaseRetriever):
    """Always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="tide tables of Brest"), score=0.5)]


def main() -> None:
    chat = CondensePlusContextChatEngine.from_defaults(Shelf(), llm=OpenAI(model="gpt-4o-mini"))
    with p.span("first"):
        assert str(chat.chat("Hello")) == "Hello!"
    with p.span("second"):
        assert str(chat.chat("And there?")) == "At noon."
