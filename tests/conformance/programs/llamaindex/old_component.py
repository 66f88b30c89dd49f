"""A component as users wrote them for the old callback manager: it tells of its steps there and nowhere else.

To be seen: its search and its query, the search with what it found; the model is asked once, though told of twice.
"""

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide tables", "At noon.")


def ask(manager: CallbackManager, question: str) -> str:
    asked = {EventPayload.QUERY_STR: question}
    with manager.event(CBEventType.QUERY, payload=asked) as query:
        with manager.event(CBEventType.RETRIEVE, payload=asked) as search:
            page = NodeWithScore(node=TextNode(text="tide tables of Brest"), score=0.5)
            search.on_end(payload={EventPayload.NODES: [page]})
        answer = str(OpenAI(model="gpt-4o-mini", callback_manager=manager).complete(f"{page.text}: {question}"))
        query.on_end(payload={EventPayload.RESPONSE: answer})
    return answer


def main() -> None:
    with p.span("harbour"):
        assert ask(CallbackManager(), "When is high tide?") == "At noon."
