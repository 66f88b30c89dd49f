"""What the framework benches ask for: a program of seven runs, as a LangChain chain and as a LangGraph graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["PROGRAMS", "chain", "graph"]


def _parts() -> tuple[Any, Any, Any, Any]:
    """Retriever, prompt, model, parser."""
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.retrievers import BaseRetriever

    from tests.support.models import FixedChatModel

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            return [Document(page_content="pools are small"), Document(page_content="checkout is slow")]

    prompt = ChatPromptTemplate.from_messages([("system", "Use: {context}"), ("human", "{question}")])
    return Shelf(), prompt, FixedChatModel(), StrOutputParser()


def _settings(handler: Any) -> Any:
    return {"callbacks": [] if handler is None else [handler], "max_concurrency": 1}


def chain(handler: Any) -> Callable[[int], None]:
    """Two branches (a retriever and a pass-through), prompt, model and parser."""
    from langchain_core.runnables import RunnableParallel, RunnablePassthrough

    shelf, prompt, model, parser = _parts()
    whole = RunnableParallel(context=shelf, question=RunnablePassthrough()) | prompt | model | parser
    settings = _settings(handler)

    def requests(count: int) -> None:
        for _ in range(count):
            whole.invoke("why is checkout slow?", config=settings)

    return requests


def graph(handler: Any) -> Callable[[int], None]:
    """A node with the retriever, and one with prompt, model and parser."""
    from langgraph.graph import START, StateGraph

    shelf, prompt, model, parser = _parts()

    def look(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "context": shelf.invoke(state["question"])}

    def answer(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": parser.invoke(model.invoke(prompt.invoke(state)))}

    made = StateGraph(dict)
    made.add_node("look", look)
    made.add_node("answer", answer)
    made.add_edge(START, "look")
    made.add_edge("look", "answer")
    compiled: Any = made.compile(name="work")
    settings = _settings(handler)

    def requests(count: int) -> None:
        for _ in range(count):
            compiled.invoke({"question": "why is checkout slow?"}, config=settings)

    return requests


#: How to make requests with a handler, or with none, by the framework.
PROGRAMS: dict[str, Callable[[Any], Callable[[int], None]]] = {"LangChain": chain, "LangGraph": graph}
