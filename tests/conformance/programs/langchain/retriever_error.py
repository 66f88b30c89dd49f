"""A retriever whose index is not there; the chain falls over it.

To be seen: the retrieval and the chain failed, and say why; no model was asked.
"""

from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_openai import ChatOpenAI

from tests.conformance import program as p


class Missing(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise FileNotFoundError("no index called tides")


def main() -> None:
    chain = Missing().with_config(run_name="index") | str | ChatOpenAI(model="gpt-4o-mini")
    try:
        chain.invoke("when is high water?", p.config(run_name="harbour"))
    except FileNotFoundError:
        return
    raise AssertionError("the failure was swallowed")
