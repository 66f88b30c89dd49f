"""The parts that LlamaIndex offers, each in the ways in which it can be called: the tree is what the program did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import ironspan
import ironspan.llamaindex
import pytest
from llama_index.core import Document, MockEmbedding, PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.base.response.schema import PydanticResponse
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import LLMRerank, SimilarityPostprocessor
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import Context
from pydantic import BaseModel

from tests.support.llama import ScriptedModel, tool_call
from tests.support.outline import only, outline

#: LlamaIndex looks at deprecated attributes of its own models; its chat engines leave loops open.
pytestmark = [
    pytest.mark.usefixtures("llamaindex"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RETRIEVAL = "retrieval VectorIndexRetriever\n  embedding MockEmbedding\n"
GENERATION = "generation gpt-4o\n"


class Song(BaseModel):
    """A song."""

    title: str


def below(head: str, *parts: str) -> str:
    """A tree: the line `head` with the trees of `parts` below it."""
    return f"{head}\n" + "".join(f"  {line}\n" for part in parts for line in part.splitlines())


def query(head: str = "span RetrieverQueryEngine", synthesizer: str = "CompactAndRefine") -> str:
    return below(head, RETRIEVAL, below(f"span {synthesizer}", GENERATION))


def song() -> ScriptedModel:
    return ScriptedModel(script=[tool_call("Song", title="Ondine")])


async def _read(stream: Any) -> list[Any]:
    return [item async for item in stream]


# Structured answers: what the framework wraps around the model is not a second model call, nor its parser a tool.

PROMPT = PromptTemplate("A song about {what}.")
ASKED = [ChatMessage(role="user", content="A song?")]


def _structured_ways() -> dict[str, Callable[[], Any]]:
    return {
        "chat": lambda: song().as_structured_llm(Song).chat(ASKED).raw,
        "achat": lambda: asyncio.run(song().as_structured_llm(Song).achat(ASKED)).raw,
        "complete": lambda: song().as_structured_llm(Song).complete("A song?").raw,
        "stream_chat": lambda: list(song().as_structured_llm(Song).stream_chat(ASKED))[-1].raw,
        "predict": lambda: song().structured_predict(Song, PROMPT, what="water"),
        "apredict": lambda: asyncio.run(song().astructured_predict(Song, PROMPT, what="water")),
        "stream_predict": lambda: list(song().stream_structured_predict(Song, PROMPT, what="water"))[-1],
    }


@pytest.mark.parametrize("way", list(_structured_ways()))
def test_a_structured_answer_is_one_generation(spans, way):
    assert _structured_ways()[way]() == Song(title="Ondine")
    assert outline(spans()) == GENERATION
    assert "Ondine" in only(spans(), "generation").attributes["gen_ai.output.messages"]
    assert only(spans(), "generation").attributes["gen_ai.usage.input_tokens"] == 100


def test_an_async_structured_stream_is_one_generation(spans):
    async def run() -> Any:
        stream = await song().astream_structured_predict(Song, PROMPT, what="water")
        return (await _read(stream))[-1]

    assert asyncio.run(run()) == Song(title="Ondine")
    assert outline(spans()) == GENERATION


def test_a_query_with_a_structured_model_has_the_tree_of_a_query(spans, notes):
    answer = notes.as_query_engine(llm=song().as_structured_llm(Song)).query("why?")
    assert type(answer) is PydanticResponse
    assert answer.response == Song(title="Ondine")
    assert outline(spans()) == query("workflow RetrieverQueryEngine")


def test_an_answer_that_does_not_parse_is_the_callers_exception_and_a_generation_that_went_well(spans):
    program = LLMTextCompletionProgram.from_defaults(
        output_cls=Song, prompt_template_str="About {what}.", llm=ScriptedModel(script=["no song"])
    )
    with ironspan.span("mine"), pytest.raises(ValueError, match="no song"):
        program(what="water")
    assert outline(spans()) == "span mine\n  generation gpt-4o\n"


# Chat engines

CONTEXT = [RETRIEVAL, below("span CompactAndRefine", GENERATION)]
CHATS = {
    "simple": ("SimpleChatEngine", [GENERATION], [GENERATION]),
    "condense_question": ("CondenseQuestionChatEngine", [query()], [GENERATION, query()]),
    "context": ("ContextChatEngine", CONTEXT, CONTEXT),
    "condense_plus_context": ("CondensePlusContextChatEngine", CONTEXT, [GENERATION, *CONTEXT]),
}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("mode", list(CHATS))
def test_each_turn_of_a_chat_is_a_trace_of_what_the_engine_did(spans, memory, notes, mode, streams):
    engine, first, second = CHATS[mode]
    chat = notes.as_chat_engine(chat_mode=mode, llm=ScriptedModel())

    def ask(text: str) -> str:
        if not streams:
            return str(chat.chat(text))
        return "".join(chat.stream_chat(text).response_gen)

    for turn in (first, second):
        assert ask("why?").replace(" ", "") == "onetwothree"
        assert outline(spans()) == below(f"workflow {engine}", *turn)
        memory.clear()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("mode", list(CHATS))
def test_an_async_chat_has_the_same_traces(spans, memory, notes, mode, streams):
    engine, first, second = CHATS[mode]
    chat = notes.as_chat_engine(chat_mode=mode, llm=ScriptedModel())

    async def ask(text: str) -> str:
        if not streams:
            return str(await chat.achat(text))
        stream = await chat.astream_chat(text)
        return "".join(await _read(stream.async_response_gen()))

    async def talk() -> None:
        for turn in (first, second):
            assert (await ask("why?")).replace(" ", "") == "onetwothree"
            assert outline(spans()) == below(f"workflow {engine}", *turn)
            memory.clear()

    asyncio.run(talk())


# Postprocessors

JUDGED = "Doc: 1, Relevance: 9"


def test_postprocessors_that_send_no_events_are_steps_of_the_query(spans, notes):
    reranker = LLMRerank(llm=ScriptedModel(script=[JUDGED]), top_n=1)
    cutoff = SimilarityPostprocessor(similarity_cutoff=0.0)
    notes.as_query_engine(llm=ScriptedModel(), node_postprocessors=[cutoff, reranker]).query("why?")
    assert outline(spans()) == below(
        "workflow RetrieverQueryEngine",
        RETRIEVAL,
        "span SimilarityPostprocessor\n",
        below("rerank LLMRerank", GENERATION),
        below("span CompactAndRefine", GENERATION),
    )
    done = only(spans(), "rerank").attributes
    assert json.loads(done["input.value"]) == {"query": "why?", "nodes": 2, "top_n": 1}
    assert [document["score"] for document in json.loads(done["gen_ai.retrieval.documents"])] == [9.0]
    kept = only(spans(), "span", "SimilarityPostprocessor").attributes["output.value"]
    assert json.loads(kept) == {"nodes": 2}


# Response synthesizers

MODES = {
    "refine": ("Refine", 2),
    "compact": ("CompactAndRefine", 1),
    "tree_summarize": ("TreeSummarize", 1),
    "simple_summarize": ("SimpleSummarize", 1),
    "accumulate": ("Accumulate", 2),
    "compact_accumulate": ("CompactAndAccumulate", 1),
    "generation": ("Generation", 1),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_each_way_to_make_an_answer_asks_as_often_as_it_does(spans, memory, notes, mode):
    name, asked = MODES[mode]
    expected = below("workflow RetrieverQueryEngine", RETRIEVAL, below(f"span {name}", GENERATION * asked))
    notes.as_query_engine(llm=ScriptedModel(), response_mode=mode).query("why?")
    assert outline(spans()) == expected
    memory.clear()
    asyncio.run(notes.as_query_engine(llm=ScriptedModel(), response_mode=mode).aquery("why?"))
    assert outline(spans()) == expected


@pytest.mark.parametrize("mode", ["refine", "compact", "tree_summarize", "simple_summarize", "generation"])
def test_each_streamed_answer_is_generated_inside_the_query(spans, memory, notes, mode):
    name, asked = MODES[mode]
    expected = below("workflow RetrieverQueryEngine", RETRIEVAL, below(f"span {name}", GENERATION * asked))
    answer = notes.as_query_engine(llm=ScriptedModel(), response_mode=mode, streaming=True).query("why?")
    assert "".join(answer.response_gen).replace(" ", "") == "onetwothree"
    assert outline(spans()) == expected
    memory.clear()

    async def run() -> str:
        engine = notes.as_query_engine(llm=ScriptedModel(), response_mode=mode, streaming=True, use_async=True)
        answer = await engine.aquery("why?")
        assert type(answer).__name__ == "AsyncStreamingResponse"
        return "".join(await _read(answer.async_response_gen()))

    assert asyncio.run(run()).replace(" ", "") == "onetwothree"
    assert outline(spans()) == expected


# Engines of engines


def tools(notes: Any) -> list[QueryEngineTool]:
    engine = notes.as_query_engine(llm=ScriptedModel())
    return [QueryEngineTool.from_defaults(engine, name=name, description=name) for name in ("notes", "logs")]


def test_a_router_asks_which_engine_and_then_that_engine(spans, notes):
    selector = LLMSingleSelector.from_defaults(llm=ScriptedModel(script=['[{"choice": 1, "reason": "notes"}]']))
    engine = RouterQueryEngine(selector=selector, query_engine_tools=tools(notes), llm=ScriptedModel())
    engine.query("why?")
    assert outline(spans()) == below("workflow RouterQueryEngine", GENERATION, query())


QUESTIONS = """```json
{"items": [{"sub_question": "one?", "tool_name": "notes"}, {"sub_question": "two?", "tool_name": "logs"}]}
```"""


@pytest.mark.parametrize("way", ["one after another", "at once", "async"])
def test_sub_questions_are_spans_with_the_queries_that_answer_them(spans, notes, way):
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=tools(notes),
        llm=ScriptedModel(),
        question_gen=LLMQuestionGenerator.from_defaults(llm=ScriptedModel(script=[QUESTIONS])),
        response_synthesizer=get_response_synthesizer(llm=ScriptedModel()),
        use_async=way != "one after another",
        verbose=False,
    )
    if way == "async":
        asyncio.run(engine.aquery("both?"))
    else:
        engine.query("both?")
    part = below("span sub_question", query())
    assert outline(spans()) == below(
        "workflow SubQuestionQueryEngine",
        below("span LLMQuestionGenerator", GENERATION),
        part,
        part,
        below("span CompactAndRefine", GENERATION),
    )
    asked = {s.attributes["input.value"]: s.attributes["output.value"] for s in spans() if s.name == "sub_question"}
    assert asked == {"one?": "one two three", "two?": "one two three"}


def test_a_fusion_of_retrievers_shows_each_query(spans, memory, notes):
    def fusion(**options: Any) -> QueryFusionRetriever:
        model = ScriptedModel(script=["which?\nwhat?"])
        return QueryFusionRetriever([notes.as_retriever()], llm=model, num_queries=3, **options)

    expected = below("retrieval QueryFusionRetriever", GENERATION, RETRIEVAL * 3)
    fusion(use_async=False).retrieve("why?")
    assert outline(spans()) == expected
    memory.clear()
    asyncio.run(fusion(use_async=True).aretrieve("why?"))
    assert outline(spans()) == expected
    asked = {s.attributes["gen_ai.retrieval.query.text"] for s in spans() if "VectorIndex" in s.name}
    assert asked == {"why?", "which?", "what?"}


def test_an_engine_that_tells_of_a_retrieval_before_it_asks_the_retriever_shows_one(spans, notes):
    CitationQueryEngine.from_args(notes, llm=ScriptedModel()).query("why?")
    assert outline(spans()) == query("workflow CitationQueryEngine")


# Ingestion


def test_an_ingestion_is_a_workflow_of_its_transformations(spans, memory):
    def pipeline() -> IngestionPipeline:
        titles = TitleExtractor(llm=ScriptedModel(), nodes=1, num_workers=1, show_progress=False)
        return IngestionPipeline(transformations=[SentenceSplitter(), titles, MockEmbedding(embed_dim=4)])

    documents = [Document(text="pools are small")]
    assert len(pipeline().run(documents=documents)) == 1
    asked = below("span TitleExtractor", GENERATION * 2)
    embedding = "embedding MockEmbedding\n"
    assert outline(spans()) == below("workflow IngestionPipeline", "span SentenceSplitter\n", asked, embedding)
    assert json.loads(only(spans(), "workflow").attributes["input.value"]) == {"documents": 1}
    assert json.loads(only(spans(), "span", "SentenceSplitter").attributes["output.value"]) == {"nodes": 1}
    memory.clear()
    assert len(asyncio.run(pipeline().arun(documents=documents))) == 1
    # What the parser does when it is called like this only the callback manager is told.
    assert outline(spans()) == below("workflow IngestionPipeline", "span node_parsing\n", asked, embedding)


# Tools


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


async def aadd(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def _tool_ways() -> dict[str, Callable[[], Any]]:
    plain, waiting = FunctionTool.from_defaults(add), FunctionTool.from_defaults(async_fn=aadd)
    return {
        "call": lambda: plain.call(a=1, b=2),
        "called": lambda: plain(a=1, b=2),
        "acall": lambda: asyncio.run(plain.acall(a=1, b=2)),
        "async acall": lambda: asyncio.run(waiting.acall(a=1, b=2)),
        "async call": lambda: waiting.call(a=1, b=2),
    }


@pytest.mark.parametrize("way", list(_tool_ways()))
def test_a_tool_is_one_span_whichever_way_it_is_called(spans, way):
    assert _tool_ways()[way]().raw_output == 3
    (done,) = spans()
    assert done.kind == "tool"
    assert json.loads(done.attributes["gen_ai.tool.call.arguments"]) == {"a": 1, "b": 2}
    assert done.attributes["gen_ai.tool.call.result"] == "3"


def test_an_engine_as_a_tool_answers_below_it(spans, notes):
    tool = tools(notes)[0]
    assert tool.call("why?").content == "one two three"
    assert asyncio.run(tool.acall(input="why?")).content == "one two three"
    assert outline(spans()) == below("tool notes", query()) * 2


async def remember(ctx: Context, what: str) -> str:
    """Remembers something."""
    assert isinstance(ctx, Context)
    return what


def test_the_context_that_a_tool_is_handed_is_none_of_its_arguments(spans):
    tool = FunctionTool.from_defaults(async_fn=remember)
    handed = Context.__new__(Context)
    assert str(asyncio.run(tool.acall(ctx=handed, what="pools"))) == "pools"
    assert json.loads(only(spans(), "tool").attributes["gen_ai.tool.call.arguments"]) == {"what": "pools"}


# What only older versions have


def test_an_agent_of_the_old_kind_is_an_agent_with_its_models_and_tools(spans):
    agents = pytest.importorskip("llama_index.core.agent")
    if not hasattr(agents, "FunctionCallingAgent"):
        pytest.skip("agents are workflows in this version")
    model = ScriptedModel(script=[tool_call("add", a=1, b=2), "three"])
    agent = agents.FunctionCallingAgent.from_tools([FunctionTool.from_defaults(add)], llm=model)
    assert str(agent.chat("1 + 2?")) == "three"
    assert outline(spans()) == below("agent FunctionCallingAgent", GENERATION, "tool add\n", GENERATION)
    assert only(spans(), "agent").attributes["input.value"] == "1 + 2?"


def test_a_query_pipeline_is_a_workflow(spans, memory):
    pipelines = pytest.importorskip("llama_index.core.query_pipeline")
    pipeline = pipelines.QueryPipeline(chain=[PROMPT, ScriptedModel()])
    pipeline.run(what="water")
    assert outline(spans()) == below("workflow QueryPipeline", GENERATION)
    memory.clear()
    asyncio.run(pipeline.arun(what="water"))
    assert outline(spans()) == below("workflow QueryPipeline", GENERATION)
