"""Models of one framework around models of the other: one call is one generation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import ironspan
import pytest
from ironspan import _calls
from ironspan.langchain import CallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from llama_index.core import Document as IndexDocument
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback

from tests.support.models import FixedChatModel, chain
from tests.support.outline import only, outline, own_name
from tests.support.versions import since

# The framework's own, in its older versions.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _both() -> Iterator[None]:
    ironspan.instrument("langchain", "llamaindex")
    yield
    ironspan.uninstrument()


class Standing(CustomLLM):
    """A model of LlamaIndex that asks one of LangChain."""

    held: Any = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="standing")

    def ask(self, prompt: str) -> str:
        return str(self.held.invoke(prompt).content)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.ask(prompt))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        def tokens() -> Iterator[CompletionResponse]:
            text = ""
            for chunk in self.held.stream(prompt):
                text += str(chunk.content)
                yield CompletionResponse(text=text, delta=str(chunk.content))

        return tokens()


_elsewhere = FixedChatModel()


class Unseen(Standing):
    """One that cannot be seen to do so."""

    def ask(self, prompt: str) -> str:
        return str(_elsewhere.invoke(prompt).content)


class Chained(Standing):
    """One that asks through a chain."""

    def ask(self, prompt: str) -> str:
        return str(chain().invoke({"question": prompt}))


def engine(llm: Any, **more: Any) -> Any:
    index = VectorStoreIndex.from_documents([IndexDocument(text="pools")], embed_model=MockEmbedding(4))
    return index.as_query_engine(llm=llm, **more)


def tokens_of(span: Any) -> tuple[Any, Any]:
    return span.attributes.get("gen_ai.usage.input_tokens"), span.attributes.get("gen_ai.usage.output_tokens")


@pytest.mark.parametrize("form", ["sync", "async"])
def test_wrapper_that_holds_the_model_passes_the_call_on(spans, form):
    llm = Standing(held=FixedChatModel())
    if form == "sync":
        assert llm.complete("?").text == "one two three"
    else:
        assert asyncio.run(llm.acomplete("?")).text == "one two three"
    assert outline(spans()) == "generation gpt-4o\n"
    assert tokens_of(only(spans(), "generation")) == (100, 20)


def test_stream_of_a_wrapper_that_holds_the_model(spans):
    assert [*Standing(held=FixedChatModel()).stream_complete("?")][-1].text == "one two three"
    assert outline(spans()) == "generation gpt-4o\n"
    assert only(spans(), "generation").attributes["gen_ai.request.stream"] is True


@pytest.mark.parametrize("streaming", [False, True])
def test_query_with_a_wrapper_has_one_generation_in_its_place(spans, streaming):
    query = engine(Standing(held=FixedChatModel()), streaming=streaming)
    before = len(spans())
    answer = query.query("?")
    assert ("".join(answer.response_gen) if streaming else answer.response) == "one two three"
    assert outline(spans()[before:]) == (
        "workflow RetrieverQueryEngine\n"
        "  retrieval VectorIndexRetriever\n"
        "    embedding MockEmbedding\n"
        "  span CompactAndRefine\n"
        "    generation gpt-4o\n"
    )


@pytest.mark.filterwarnings("ignore")
def test_adapter_of_llama_index(spans):
    try:
        from llama_index.llms.langchain import LangChainLLM

        llm = LangChainLLM(llm=FixedChatModel())
        assert llm.metadata.is_chat_model
    except ImportError:
        pytest.skip("llama-index-llms-langchain is not installed, or not with what it needs")
    llm.complete("?")
    engine(llm).query("?")
    assert [own_name(span) for span in spans() if span.kind == "generation"] == ["gpt-4o", "gpt-4o"]


def test_wrapper_without_a_recorded_model_keeps_its_generation(spans):
    ironspan.uninstrument("langchain")
    llm = Standing(held=FixedChatModel())
    llm.complete("?")
    assert outline(spans()) == "generation standing\n"
    # The handler that the model itself has is as good.
    Standing(held=FixedChatModel(callbacks=[CallbackHandler()])).complete("?")
    # So is one that comes with the chain around it.
    RunnableLambda(lambda prompt: llm.complete(prompt).text).invoke("?", {"callbacks": [CallbackHandler()]})
    assert outline(spans()[1:]) == "generation gpt-4o\nworkflow RunnableLambda\n  generation gpt-4o\n"


def test_call_inside_a_wrapper_adds_what_it_knows(spans):
    with ironspan.span("request"):
        assert Unseen().complete("?").text == "one two three"
    recorded = spans()
    assert outline(recorded) == "span request\n  generation standing\n"
    call = only(recorded, "generation")
    assert call.attributes["gen_ai.request.model"] == "gpt-4o"
    assert call.attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert tokens_of(call) == (100, 20)
    assert "one two three" in call.attributes["gen_ai.output.messages"]


def test_steps_between_the_two_stay(spans):
    assert Chained().complete("?").text == "one two three"
    recorded = spans()
    assert outline(recorded) == (
        "generation standing\n  workflow RunnableSequence\n    span ChatPromptTemplate\n    span StrOutputParser\n"
    )
    assert tokens_of(only(recorded, "generation")) == (100, 20)


def test_only_the_first_answer_inside_is_the_wrapper_s(spans):
    class Twice(Unseen):
        def ask(self, prompt: str) -> str:
            return super().ask(prompt) + super().ask(prompt)

    Twice().complete("?")
    assert outline(spans()) == "generation standing\n  generation gpt-4o\n"


def test_failed_call_inside_leaves_the_wrapper_s_to_the_next_one(spans):
    broken = FixedChatModel(failure=ValueError("down"))

    class Retrying(Unseen):
        def ask(self, prompt: str) -> str:
            with pytest.raises(ValueError, match="down"):
                broken.invoke(prompt)
            return super().ask(prompt)

    assert Retrying().complete("?").text == "one two three"
    recorded = spans()
    assert outline(recorded) == "generation standing\n"
    assert tokens_of(only(recorded, "generation")) == (100, 20)


class Around(BaseChatModel):
    """A model of LangChain that asks one of LlamaIndex."""

    @property
    def _llm_type(self) -> str:
        return "around"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        text = MockLLM(max_tokens=3).complete(str(messages[-1].content)).text
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for token in MockLLM(max_tokens=3).stream_complete(str(messages[-1].content)):
            yield ChatGenerationChunk(message=AIMessageChunk(token.delta or ""))


ASYNC = pytest.param(
    "async", marks=since("langchain-core", "0.3.67", "asynchronous callbacks run in the context of the call")
)


@pytest.mark.parametrize("form", ["sync", ASYNC, "stream"])
def test_model_of_langchain_around_one_of_llama_index(spans, form):
    question = "what is asked"
    if form == "sync":
        assert Around().invoke(question).content
    elif form == "async":
        assert asyncio.run(Around().ainvoke(question)).content
    else:
        assert [*Around().stream(question)]
    recorded = spans()
    assert [span.kind for span in recorded] == ["generation"]
    assert recorded[0].attributes["gen_ai.request.model"] == "MockLLM"
    assert "text text text" in recorded[0].attributes["gen_ai.output.messages"]


def test_call_between_two_tokens_of_a_stream_is_a_call_of_its_own(spans):
    stream = FixedChatModel().stream("?")
    next(stream)
    MockLLM(max_tokens=3).complete("meanwhile")
    assert len([*stream]) > 1
    MockLLM(max_tokens=3).complete("later")
    assert sorted(own_name(span) for span in spans()) == ["MockLLM", "MockLLM", "gpt-4o"]


def test_retriever_of_langchain_around_a_query_of_llama_index(spans):
    query = engine(Standing(held=FixedChatModel()))
    before = len(spans())

    class Asking(BaseRetriever):
        def _get_relevant_documents(self, question: str, *, run_manager: Any) -> list[Document]:
            return [Document(page_content=query.query(question).response)]

    assert Asking().invoke("?")[0].page_content == "one two three"
    tree = outline(spans()[before:])
    assert tree.startswith("retrieval Asking\n")
    assert tree.count("generation gpt-4o\n") == 1 == tree.count("generation")


def test_nothing_is_kept_of_calls_that_ended(spans):
    for _ in range(20):
        Unseen().complete("?")
        Around().invoke("?")
    assert not _calls._joined
    assert not _calls._answered
