"""A LlamaIndex query over three documents, then two agents, one of which asks the same engine; ironspan shows both.

    python examples/llamaindex_query.py

Runs offline: the model plays a script and the embedding counts words. For real ones, `pip install
llama-index-llms-openai llama-index-embeddings-openai`, set OPENAI_API_KEY, and write `OpenAI(model="gpt-4o-mini")` and
`OpenAIEmbedding()` in their places.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Any

import ironspan
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.tools import QueryEngineTool
from scripted_llm import ScriptedLLM, call

HANDBOOK = [
    Document(text="A pool that is too small shows as waits for a connection.", id_="pools"),
    Document(text="A release is rolled back when errors double.", id_="releases"),
    Document(text="Refunds take five days.", id_="refunds"),
]
ANSWER = "It shows as waits for a connection."


class WordCounts(BaseEmbedding):
    """Vectors of word counts, each word in one of 64 places."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * 64
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % 64] += 1
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def agents(engine: Any) -> AgentWorkflow:
    """A clerk who hands over to a librarian, whose tool is the query engine."""
    tool = QueryEngineTool.from_defaults(engine, name="handbook", description="Answers from the handbook.")
    clerk = FunctionAgent(
        name="clerk",
        description="Takes questions",
        llm=ScriptedLLM(script=[call("handoff", to_agent="librarian", reason="It is about the handbook.")]),
        tools=[],
        can_handoff_to=["librarian"],
    )
    librarian = FunctionAgent(
        name="librarian",
        description="Reads the handbook",
        llm=ScriptedLLM(script=[call("handbook", input="How does a small pool show?"), ANSWER]),
        tools=[tool],
    )
    return AgentWorkflow(agents=[clerk, librarian], root_agent="clerk")


async def ask(engine: Any) -> str:
    with ironspan.scope(session="desk-1"):
        return str(await agents(engine).run("How do I see that a pool is too small?"))


def main() -> None:
    ironspan.init("library", console="tree")
    index = VectorStoreIndex.from_documents(HANDBOOK, embed_model=WordCounts(model_name="word-counts"))
    ironspan.instrument("llamaindex")

    engine = index.as_query_engine(llm=ScriptedLLM(script=[ANSWER, ANSWER]), similarity_top_k=2)
    print(engine.query("How does a small pool show?"))
    print(asyncio.run(ask(engine)))

    ironspan.shutdown()
    counts = ironspan.stats()
    print(
        f"\nspans: {counts['created']} created = {counts['delivered']} delivered + {counts['rejected']} rejected "
        f"+ {sum(counts['dropped'].values())} dropped + {counts['pending']} pending"
    )


if __name__ == "__main__":
    main()
