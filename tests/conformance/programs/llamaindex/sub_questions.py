"""A question is taken apart by the model, each part asked of its own engine, and the answers put together.

To be seen: four model calls, and each part's retrieval beside its own answer.
"""

from llama_index.core.query_engine import RetrieverQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

PARTS = """```json
{"items": [{"sub_question": "tide in Brest?", "tool_name": "brest"},
           {"sub_question": "tide in Cork?", "tool_name": "cork"}]}
```"""
p.when("Query: tide in Brest?", "Noon.")
p.when("Query: tide in Cork?", "One.")
p.when("Query: Which is later?", "Cork.")
p.when("Which is later?", PARTS)


class Shelf(BaseRetriever):
    """Always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="a page"), score=0.5)]


def main() -> None:
    model = OpenAI(model="gpt-4o-mini")
    engine = RetrieverQueryEngine.from_args(Shelf(), llm=model)
    tools = [QueryEngineTool.from_defaults(engine, name=name, description=name) for name in ("brest", "cork")]
    both = SubQuestionQueryEngine.from_defaults(
        tools,
        llm=model,
        question_gen=LLMQuestionGenerator.from_defaults(llm=model),
        response_synthesizer=get_response_synthesizer(llm=model),
        use_async=False,
        verbose=False,
    )
    with p.span("harbours"):
        assert str(both.query("Which is later?")) == "Cork."
