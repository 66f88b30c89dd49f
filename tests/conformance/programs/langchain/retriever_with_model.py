"""A retriever of the user's own that asks a model to rewrite the query, in a span of its own.

To be seen: the user's span below the retrieval, the generation below that span.
"""

from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("rewrite: boats", "sailing vessels")


class Rewriting(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        with p.span("rewrite"):
            better = ChatOpenAI(model="gpt-4o-mini").invoke(
                f"rewrite: {query}", {"callbacks": run_manager.get_child()} if p.config() else None
            )
        return [Document(f"about {better.content}")]


def main() -> None:
    found = Rewriting().invoke("boats", p.config(run_name="archive"))
    assert found[0].page_content == "about sailing vessels"
