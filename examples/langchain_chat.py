"""A LangChain chat that looks things up, calls a tool and streams its answer; ironspan shows what happened.

    python examples/langchain_chat.py

Runs offline: the model plays a script. For a real one, `pip install langchain-openai`, set OPENAI_API_KEY, and put
`ChatOpenAI(model="gpt-4o-mini")` where the script is.
"""

from __future__ import annotations

import re
from typing import Any

import ironspan
from agents.models import ScriptedChatModel, Turn
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import tool

HANDBOOK = [
    "Parcels to Norway are sent on weekdays.",
    "A parcel may weigh up to 20 kg.",
    "Refunds take five days.",
]


class Handbook(BaseRetriever):
    """The two passages that share most words with the question."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        asked = set(re.findall(r"\w+", query.lower()))
        scores = {text: len(asked & set(re.findall(r"\w+", text.lower()))) for text in HANDBOOK}
        best = sorted(HANDBOOK, key=lambda text: -scores[text])[:2]
        return [Document(page_content=text, metadata={"score": scores[text]}) for text in best]


@tool
def delivery_days(country: str) -> int:
    """How many days a parcel takes to a country."""
    return {"Norway": 3}.get(country, 7)


def lookup(_: Any) -> Turn:
    return Turn(calls=[("delivery_days", {"country": "Norway"})])


def answer(messages: Any) -> Turn:
    return Turn(f"Send it on a weekday: it takes {messages[-1].content} days to Norway.")


def main() -> None:
    ironspan.init("shop", console="tree")
    ironspan.instrument("langchain")

    model = ScriptedChatModel(model_name="gpt-4o-mini", script=[lookup, answer])
    prompt = ChatPromptTemplate.from_messages([("system", "Answer from: {passages}"), ("user", "{question}")])
    question = "When do I send a parcel to Norway?"

    with ironspan.scope(session="chat-1", user="ada"), ironspan.workflow("chat", input=question) as chat:
        asked = ({"passages": Handbook(), "question": RunnablePassthrough()} | prompt).invoke(question).to_messages()
        reply = model.bind_tools([delivery_days]).invoke(asked)
        results: list[ToolMessage] = [delivery_days.invoke(call) for call in reply.tool_calls]
        words = []
        for word in (model | StrOutputParser()).stream([*asked, reply, *results]):
            words.append(word)
        chat.output("".join(words))

    ironspan.shutdown()
    print(f"\n{''.join(words)}\n")
    counts = ironspan.stats()
    print(
        f"spans: {counts['created']} created = {counts['delivered']} delivered + {counts['rejected']} rejected "
        f"+ {sum(counts['dropped'].values())} dropped + {counts['pending']} pending"
    )


if __name__ == "__main__":
    main()
