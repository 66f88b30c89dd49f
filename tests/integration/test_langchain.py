"""LangChain runs as spans: chains, models, tools and retrievers, in every way LangChain can run them."""

from __future__ import annotations

import asyncio
import contextvars
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ironspan
from ironspan.langchain import CallbackHandler
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from tests.support.models import FixedChatModel, chain
from tests.support.outline import only, outline

CHAIN = """\
workflow RunnableSequence
  span ChatPromptTemplate
  generation gpt-4o
  span StrOutputParser
"""


def config(**more: Any) -> Any:
    return {"callbacks": [CallbackHandler()], **more}


@tool
def divide(dividend: float, divisor: float) -> float:
    """Divide two numbers."""
    return dividend / divisor


class Shelf(BaseRetriever):
    """Finds two documents, inside a span of its own."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with ironspan.span("rank"):
            return [
                Document(id="a1", page_content="first", metadata={"score": 2.5, "source": "a.md"}),
                Document(page_content="second", metadata={"relevance_score": 0.5, "_id": 7}),
            ]


# Trees


def test_chain_is_a_workflow_with_its_steps(spans):
    assert chain().invoke({"question": "?"}, config()) == "one two three"
    assert outline(spans()) == CHAIN


def test_async_chain_has_the_same_tree(spans):
    assert asyncio.run(chain().ainvoke({"question": "?"}, config())) == "one two three"
    assert outline(spans()) == CHAIN


def test_streamed_chain_has_the_same_tree(spans):
    assert "".join(chain().stream({"question": "?"}, config())) == "one two three"
    assert sorted(outline(spans()).splitlines()) == sorted(CHAIN.splitlines())


def test_run_names_given_by_the_user_name_the_spans(spans):
    chain().with_config(run_name="answer").invoke({"question": "?"}, config())
    assert outline(spans()).startswith("workflow answer\n")


def test_batch_gives_each_input_a_trace_of_its_own(spans):
    chain().batch([{"question": str(n)} for n in range(3)], config())
    assert outline(spans(), sort=True) == 3 * CHAIN.replace(
        "  span ChatPromptTemplate\n  generation gpt-4o\n", "  generation gpt-4o\n  span ChatPromptTemplate\n"
    )
    assert len({span.trace_id for span in spans()}) == 3


def test_parallel_branches_stay_apart(spans):
    branches = RunnableParallel(left=RunnableLambda(lambda n: n + 1), right=RunnableLambda(lambda n: n * 2))
    assert branches.invoke(3, config(run_name="both")) == {"left": 4, "right": 6}
    assert outline(spans()) == "workflow both\n  span RunnableLambda\n  span RunnableLambda\n"


def test_spans_of_the_user_nest_in_the_run_whose_code_opens_them(spans):
    def step(_: Any) -> str:
        with ironspan.span("mine"):
            return chain().invoke({"question": "?"})

    with ironspan.span("request"):
        RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert outline(spans()) == (
        "span request\n"
        "  workflow outer\n"
        "    span mine\n"
        "      span RunnableSequence\n"
        "        span ChatPromptTemplate\n"
        "        generation gpt-4o\n"
        "        span StrOutputParser\n"
    )


def test_spans_of_the_user_nest_in_async_runs(spans):
    async def step(_: Any) -> Any:
        async with ironspan.span("mine"):
            return await FixedChatModel().ainvoke("?")

    async def run() -> None:
        await RunnableLambda(step).ainvoke(1, config(run_name="outer"))

    asyncio.run(run(), debug=True)
    assert outline(spans()) == "workflow outer\n  span mine\n    generation gpt-4o\n"


def test_span_opened_beside_a_run_with_explicit_config_does_not_capture_it(spans):
    # The configuration of a run reaches code that works for another trace.
    def step(_: Any, config: Any) -> None:
        def elsewhere() -> None:
            with ironspan.span("other trace"):
                FixedChatModel().invoke("?", config)

        contextvars.Context().run(elsewhere)

    RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert "workflow outer\n  generation gpt-4o\n" in outline(spans())


def test_hidden_runs_are_left_out_and_their_children_kept(spans):
    inner = RunnableLambda(lambda _: FixedChatModel().invoke("?").content)
    plumbing = RunnableLambda(lambda x: inner.invoke(x, {"tags": []})).with_config(tags=["langsmith:hidden"])
    RunnableLambda(lambda x: plumbing.invoke(x)).invoke(1, config(run_name="outer"))
    # Tags are inherited, so the inner lambda is hidden too; models are always shown.
    assert outline(spans()) == "workflow outer\n  generation gpt-4o\n"


def test_threads_started_in_a_run_belong_to_it(spans):
    def work(settings: Any) -> None:
        with ironspan.span("in a thread"):
            FixedChatModel().invoke("?", settings)

    def step(_: Any, config: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work, config).result()

    RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert outline(spans()) == "workflow outer\n  span in a thread\n    generation gpt-4o\n"


def test_span_opened_around_a_hidden_run_holds_what_is_below_it(spans):
    plumbing = RunnableLambda(lambda _: FixedChatModel().invoke("?")).with_config(tags=["langsmith:hidden"])

    def step(x: Any) -> Any:
        with ironspan.span("mine"):
            return plumbing.invoke(x)

    RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert outline(spans()) == "workflow outer\n  span mine\n    generation gpt-4o\n"


# Facts


def test_generation_carries_model_request_and_usage(spans):
    params = {"max_completion_tokens": 64, "api_key": "s3cret", "default_headers": {"x": "s3cret"}, "top_p": 0.5}
    model = FixedChatModel(params=params).bind(tools=[{"type": "function", "function": {"name": "divide"}}])
    model.invoke("hello", config())
    span = only(spans(), "generation", "gpt-4o")
    attributes = span.attributes
    assert attributes["gen_ai.request.model"] == "gpt-4o"
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes["gen_ai.request.max_tokens"] == 64
    assert attributes["gen_ai.request.temperature"] == 0.25
    assert attributes["gen_ai.request.top_p"] == 0.5
    assert attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert list(attributes["gen_ai.response.finish_reasons"]) == ["stop"]
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert attributes["gen_ai.usage.output_tokens"] == 20
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 80
    assert attributes["gen_ai.usage.cache_write.input_tokens"] == 5
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 15
    assert "divide" in attributes["gen_ai.tool.definitions"]
    assert "hello" in attributes["gen_ai.input.messages"]
    assert "one two three" in attributes["gen_ai.output.messages"]
    assert "s3cret" not in repr(span)


def test_completion_model_is_a_generation(spans):
    FakeListLLM(responses=["yes"]).invoke("is it?", config())
    attributes = only(spans(), "generation").attributes
    assert attributes["gen_ai.operation.name"] == "text_completion"
    assert "is it?" in attributes["gen_ai.input.messages"]
    assert "yes" in attributes["gen_ai.output.messages"]


def test_stream_records_first_chunk_and_usage(spans):
    chunks = list(FixedChatModel().stream("?", config()))
    span = only(spans(), "generation")
    assert span.status == "ok"
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 60
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert len(chunks) >= 4


def test_tool_carries_call_id_arguments_and_result(spans):
    call = {"type": "tool_call", "id": "call_7", "name": "divide", "args": {"dividend": 1, "divisor": 4}}
    assert isinstance(divide.invoke(call, config()), ToolMessage)
    attributes = only(spans(), "tool", "divide").attributes
    assert attributes["gen_ai.tool.name"] == "divide"
    assert attributes["gen_ai.tool.call.id"] == "call_7"
    assert attributes["gen_ai.tool.description"] == "Divide two numbers."
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"dividend": 1, "divisor": 4}
    assert "0.25" in str(attributes["gen_ai.tool.call.result"])


def test_retrieval_carries_documents_with_scores_and_holds_spans_opened_in_it(spans):
    Shelf().invoke("where?", config())
    assert outline(spans()) == "retrieval Shelf\n  span rank\n"
    attributes = only(spans(), "retrieval").attributes
    assert attributes["gen_ai.retrieval.query.text"] == "where?"
    first, second = json.loads(attributes["gen_ai.retrieval.documents"])
    assert (first["id"], first["score"], first["content"]) == ("a1", 2.5, "first")
    assert (second["id"], second["score"], second["content"]) == ("7", 0.5, "second")
    assert "a.md" in json.dumps(first)


def test_async_retriever_holds_spans_opened_in_it(spans):
    async def run() -> None:
        await Shelf().ainvoke("where?", config())
        with ironspan.span("after"):
            pass

    asyncio.run(run())
    assert outline(spans()) == "retrieval Shelf\n  span rank\nspan after\n"


def test_tags_metadata_and_conversation_reach_the_spans(spans):
    chain().invoke(
        {"question": "?"},
        config(tags=["plain", "key:value"], metadata={"tenant": "acme", "session_id": "s-1", "user_id": 42}),
    )
    root = only(spans(), "workflow")
    model = only(spans(), "generation")
    assert set(root.attributes["ironspan.tags"]) == {"plain", "key:value"}
    assert root.attributes["tenant"] == "acme"
    assert "tenant" not in model.attributes
    for span in (root, model):
        assert span.attributes["session.id"] == "s-1"
        assert span.attributes["gen_ai.conversation.id"] == "s-1"
        assert span.attributes["user.id"] == "42"
    assert not any("seq:step" in str(span.attributes) for span in spans())


def test_metadata_that_looks_like_a_serialized_object_stays_data(spans):
    bait = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}}
    RunnableLambda(lambda x: x).invoke(1, config(metadata={"bait": bait}))
    assert json.loads(only(spans(), "workflow").attributes["bait"]) == bait
