"""LlamaIndex calls as spans: engines, retrievers, models, tools, agents and workflows, in every way they can be run."""

from __future__ import annotations

import asyncio
import gc
import json
import pathlib
from typing import Any

import ironspan
import ironspan.llamaindex
import pytest
from ironspan import _guard
from ironspan._runs import RUNS
from ironspan.langchain import CallbackHandler
from ironspan.llamaindex._events import Events
from ironspan.llamaindex._spans import Spans
from langchain_core.runnables import RunnableLambda
from llama_index.core import MockEmbedding, get_response_synthesizer
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.tools import FunctionTool

from tests.support.llama import ScriptedModel, index, tool_call
from tests.support.llama_workflow import Shop
from tests.support.outline import only, outline
from tests.support.versions import since

try:
    from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
except ImportError:
    # See `agents`.
    AgentWorkflow = FunctionAgent = ReActAgent = None

#: LlamaIndex looks at deprecated attributes of its own models.
pytestmark = [pytest.mark.usefixtures("llamaindex"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

agents = since("llama-index-core", "0.12.43", "an agent is a workflow of its own")

QUERY = """\
workflow RetrieverQueryEngine
  retrieval VectorIndexRetriever
    embedding MockEmbedding
  span CompactAndRefine
    generation gpt-4o
"""


@pytest.fixture
def engine_of(notes: Any) -> Any:
    """A query engine over the two documents."""
    return lambda **options: notes.as_query_engine(llm=options.pop("llm", ScriptedModel()), **options)


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    with ironspan.span("mine"):
        return a + b


def agent_of(*script: Any, name: str = "adder", **options: Any) -> FunctionAgent:
    tools = options.pop("tools", [FunctionTool.from_defaults(add)])
    model = ScriptedModel(script=list(script))
    return FunctionAgent(name=name, description="adds", tools=tools, llm=model, **options)


# Engines


def test_a_query_is_a_workflow_with_retrieval_and_generation(spans, engine_of):
    assert str(engine_of().query("why?")) == "one two three"
    assert outline(spans()) == QUERY


def test_an_async_query_has_the_same_tree(spans, engine_of):
    assert str(asyncio.run(engine_of().aquery("why?"))) == "one two three"
    assert outline(spans()) == QUERY


def test_a_streamed_answer_is_generated_inside_the_query_that_was_asked(spans, engine_of):
    answer = engine_of(streaming=True).query("why?")
    assert "".join(answer.response_gen).replace(" ", "") == "onetwothree"
    assert outline(spans()) == QUERY
    done = only(spans(), "generation")
    assert done.attributes["ironspan.stream.chunks"] == 3
    assert done.attributes["gen_ai.response.time_to_first_chunk"] >= 0


def test_a_query_below_a_span_of_the_user_is_part_of_it(spans, engine_of):
    with ironspan.workflow("outer"):
        engine_of().query("why?")
    assert outline(spans()) == "workflow outer\n" + "".join(f"  {line}\n" for line in QUERY.splitlines())


def test_queries_at_once_do_not_mix(spans, engine_of):
    engine = engine_of()

    async def ask_all() -> None:
        await asyncio.gather(*(engine.aquery(f"question {number}") for number in range(50)))

    asyncio.run(ask_all())
    traces: dict[str, list[Any]] = {}
    for span in spans():
        traces.setdefault(span.trace_id, []).append(span)
    assert len(traces) == 50
    assert {outline(each) for each in traces.values()} == {QUERY}
    for each in traces.values():
        (asked,) = {span.attributes["input.value"] for span in each if span.kind in ("workflow", "embedding")}
        assert asked in next(span for span in each if span.kind == "generation").attributes["gen_ai.input.messages"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_chat_engine_is_a_workflow_and_remembers(spans, engine_of):
    ironspan.llamaindex.uninstrument()
    chat = index().as_chat_engine(chat_mode="context", llm=ScriptedModel(script=["first", "second"]))
    ironspan.llamaindex.instrument()
    chat.chat("hello")
    assert list(chat.stream_chat("again").response_gen)
    roots = [span for span in spans() if span.parent_id is None]
    assert [root.kind for root in roots] == ["workflow", "workflow"]
    assert len([span for span in spans() if span.kind == "generation"]) == 2


# Parts


class Reranker(BaseNodePostprocessor):
    """Keeps one node, and tells of it as the rerankers do that LlamaIndex comes with."""

    llm: ScriptedModel

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        dispatcher = get_dispatcher(__name__)
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=1, model_name="judge"))
        self.llm.complete("which?")
        kept = nodes[:1]
        dispatcher.event(ReRankEndEvent(nodes=kept))
        return kept


def test_a_retrieval_carries_its_query_and_documents(spans, engine_of):
    engine_of().retrieve(QueryBundle("why?"))
    retrieval = only(spans(), "retrieval").attributes
    assert retrieval["gen_ai.retrieval.query.text"] == "why?"
    assert retrieval["gen_ai.retrieval.top_k"] == 2
    documents = json.loads(retrieval["gen_ai.retrieval.documents"])
    assert {document["content"] for document in documents} == {"pools are small", "checkout is slow"}
    assert all(isinstance(document["score"], float) and document["id"] for document in documents)


def test_a_generation_carries_model_parameters_and_usage(spans):
    ScriptedModel().chat([ChatMessage(role="user", content="hello")], max_tokens=64)
    call = only(spans(), "generation").attributes
    assert call["gen_ai.request.model"] == "gpt-4o"
    assert (call["gen_ai.request.temperature"], call["gen_ai.request.max_tokens"]) == (0.25, 64)
    assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.output_tokens"]) == (100, 20)
    assert json.loads(call["gen_ai.input.messages"])[0]["role"] == "user"
    assert json.loads(call["gen_ai.output.messages"])[0]["parts"][0]["content"] == "one two three"


def test_a_model_that_answers_by_its_own_other_method_is_asked_once(spans):
    asyncio.run(ScriptedModel().acomplete("hello"))
    assert outline(spans()) == "generation gpt-4o\n"


def test_an_embedding_carries_text_and_dimensions(spans):
    MockEmbedding(embed_dim=4).get_text_embedding_batch(["one", "two"])
    done = only(spans(), "embedding").attributes
    assert json.loads(done["input.value"]) == ["one", "two"]
    assert done["gen_ai.embeddings.dimension.count"] == 4


def test_a_rerank_stands_between_retrieval_and_answer(spans, engine_of):
    reranker = Reranker(llm=ScriptedModel())
    engine_of(node_postprocessors=[reranker]).query("why?")
    assert outline(spans()) == (
        "workflow RetrieverQueryEngine\n"
        "  retrieval VectorIndexRetriever\n"
        "    embedding MockEmbedding\n"
        "  rerank Reranker\n"
        "    generation gpt-4o\n"
        "  span CompactAndRefine\n"
        "    generation gpt-4o\n"
    )
    done = only(spans(), "rerank").attributes
    assert json.loads(done["input.value"]) == {"query": "why?", "nodes": 2}
    assert done["gen_ai.request.model"] == "judge"
    assert len(json.loads(done["gen_ai.retrieval.documents"])) == 1


def test_a_rerank_that_fails_ends_with_the_query(spans, engine_of):
    reranker = Reranker(llm=ScriptedModel(script=[RuntimeError("quota")]))
    with pytest.raises(RuntimeError, match="quota"):
        engine_of(node_postprocessors=[reranker]).query("why?")
    assert only(spans(), "workflow").status == "error"
    with ironspan.span("after"):
        pass
    assert only(spans(), "span", "after").parent_id is None


def test_a_synthesizer_alone_is_a_workflow(spans):
    synthesizer = get_response_synthesizer(llm=ScriptedModel())
    synthesizer.synthesize("why?", nodes=[])
    assert [span.kind for span in spans() if span.parent_id is None] == ["workflow"]


# Agents and workflows


@agents
def test_an_agent_is_a_span_with_its_models_and_tools(spans):
    async def run() -> str:
        return str(await agent_of(tool_call("add", a=1, b=2), "three").run("1 + 2?"))

    assert asyncio.run(run()) == "three"
    assert outline(spans()) == ("agent adder\n  generation gpt-4o\n  tool add\n    span mine\n  generation gpt-4o\n")
    tool = only(spans(), "tool").attributes
    assert tool["gen_ai.tool.call.id"] == "call-1"
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"a": 1, "b": 2}
    agent = only(spans(), "agent").attributes
    assert agent["input.value"] == "1 + 2?"
    assert "three" in agent["gen_ai.output.messages"]


@since("llama-index-core", "0.12.12", "agents can hand over")
def test_a_hand_over_is_a_turn_of_the_next_agent(spans):
    first = agent_of(
        tool_call("handoff", to_agent="adder", reason="sums"), name="clerk", tools=[], can_handoff_to=["adder"]
    )
    second = agent_of(tool_call("add", a=1, b=2), "three")

    async def run() -> int:
        handler = AgentWorkflow(agents=[first, second], root_agent="clerk").run("1 + 2?")
        events = len([event async for event in handler.stream_events()])
        assert str(await handler) == "three"
        return events

    assert asyncio.run(run()) > 0
    assert outline(spans()) == (
        "workflow AgentWorkflow\n"
        "  agent clerk\n"
        "    generation gpt-4o\n"
        "    tool handoff\n"
        "  agent adder\n"
        "    generation gpt-4o\n"
        "    tool add\n"
        "      span mine\n"
        "    generation gpt-4o\n"
    )
    clerk, adder = (next(span for span in spans() if span.name.endswith(name)) for name in ("clerk", "adder"))
    assert [link["span_id"] for link in adder.links] == [clerk.span_id]
    assert adder.links[0]["attributes"] == {"ironspan.link.role": "handoff"}


@agents
def test_a_react_agent_has_the_same_shape(spans):
    script = [
        'Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}',
        "Thought: I can answer without using any more tools.\nAnswer: three",
    ]
    agent = ReActAgent(
        name="reasoner", description="adds", tools=[FunctionTool.from_defaults(add)], llm=ScriptedModel(script=script)
    )

    async def run() -> str:
        return str(await agent.run("1 + 2?"))

    assert asyncio.run(run()) == "three"
    assert [span.kind for span in sorted(spans(), key=lambda span: span.start_ns) if span.kind != "span"] == [
        "agent",
        "generation",
        "tool",
        "generation",
    ]


@agents
def test_agents_at_once_do_not_mix(spans):
    async def run() -> None:
        handlers = [
            agent_of(tool_call("add", a=1, b=number), f"{number}", name=f"agent-{number}").run("?")
            for number in range(20)
        ]
        assert [str(answer) for answer in await asyncio.gather(*handlers)] == [str(number) for number in range(20)]

    asyncio.run(run())
    traces: dict[str, list[Any]] = {}
    for span in spans():
        traces.setdefault(span.trace_id, []).append(span)
    shape = "  generation gpt-4o\n  tool add\n    span mine\n  generation gpt-4o\n"
    assert sorted(outline(each) for each in traces.values()) == sorted(f"agent agent-{n}\n{shape}" for n in range(20))


def test_steps_of_a_workflow_are_spans_of_its_run(spans):
    async def run() -> str:
        with ironspan.span("outer"):
            handler = Shop().run(topic="pools")
            with ironspan.span("meanwhile"):
                await asyncio.sleep(0)
            return str(await handler)

    assert asyncio.run(run()) == "one two three"
    # Which of the two begins first is the framework's affair.
    assert outline(spans(), sort=True) == (
        "span outer\n"
        "  span meanwhile\n"
        "  workflow Shop\n"
        "    span answer\n"
        "      span mine\n"
        "        generation gpt-4o\n"
        "    span look\n"
    )


def test_runs_of_one_workflow_started_one_after_another_are_siblings(spans):
    async def run() -> None:
        with ironspan.span("outer"):
            handlers = [Shop().run(topic=f"{number}") for number in range(5)]
            await asyncio.gather(*handlers)

    asyncio.run(run())
    shop = "  workflow Shop\n    span look\n    span answer\n      span mine\n        generation gpt-4o\n"
    assert outline(spans()) == "span outer\n" + shop * 5


# Mixed programs


@agents
def test_langchain_inside_a_tool_hangs_below_the_tool(spans):
    def shout(text: str) -> str:
        """Shouts."""
        return RunnableLambda(str.upper).invoke(text, config={"callbacks": [CallbackHandler()]})

    async def run() -> str:
        agent = agent_of(tool_call("shout", text="hi"), "done", tools=[FunctionTool.from_defaults(shout)])
        return str(await agent.run("?"))

    asyncio.run(run())
    tree = outline(spans())
    assert "  tool shout\n    workflow upper\n" in tree or "  tool shout\n    span upper\n" in tree


def test_a_query_inside_langchain_hangs_below_the_run(spans, engine_of):
    engine = engine_of()
    ask = RunnableLambda(lambda question: str(engine.query(question)))
    ask.invoke("why?", config={"callbacks": [CallbackHandler()], "run_name": "ask"})
    inner = "".join(f"  {line}\n" for line in QUERY.splitlines())
    assert outline(spans()) == "workflow ask\n" + inner


# Endings


def test_an_exception_is_an_error_of_every_call_that_it_leaves(spans, engine_of):
    with pytest.raises(RuntimeError, match="quota"):
        engine_of(llm=ScriptedModel(script=[RuntimeError("quota")])).query("why?")
    assert outline(spans()) == (
        "workflow RetrieverQueryEngine [error]\n"
        "  retrieval VectorIndexRetriever\n"
        "    embedding MockEmbedding\n"
        "  span CompactAndRefine [error]\n"
        "    generation gpt-4o [error]\n"
    )
    assert only(spans(), "generation").status_message == "quota"


@agents
def test_a_tool_that_fails_is_an_error_and_the_agent_goes_on(spans):
    def broken() -> str:
        """Breaks."""
        raise RuntimeError("no such shelf")

    async def run() -> str:
        agent = agent_of(tool_call("broken"), "sorry", tools=[FunctionTool.from_defaults(broken)])
        return str(await agent.run("?"))

    assert asyncio.run(run()) == "sorry"
    assert outline(spans()) == "agent adder\n  generation gpt-4o\n  tool broken [error]\n  generation gpt-4o\n"


def test_a_stream_dropped_early_is_cancelled_and_keeps_its_text(spans):
    stream = ScriptedModel().stream_chat([ChatMessage(role="user", content="?")])
    next(stream)
    stream.close()
    done = only(spans(), "generation")
    assert done.status == "cancelled"
    assert "one" in done.attributes["gen_ai.output.messages"]


def test_a_stream_that_is_let_go_without_a_close_keeps_its_text(spans):
    for _ in ScriptedModel().stream_chat([ChatMessage(role="user", content="?")]):
        break
    gc.collect()
    done = only(spans(), "generation")
    assert done.status == "cancelled"
    assert "one" in done.attributes["gen_ai.output.messages"]
    assert "three" not in done.attributes["gen_ai.output.messages"]


def test_a_stream_that_nobody_reads_ends_with_its_generator(spans):
    stream = ScriptedModel().stream_chat([ChatMessage(role="user", content="?")])
    del stream
    gc.collect()
    assert only(spans(), "generation").status == "cancelled"


@agents
@since("llama-index-workflows", "2.0", "workflows tell of their cancellation")
def test_a_cancelled_agent_is_cancelled_and_leaves_nothing_open(spans):
    async def run() -> None:
        agent = FunctionAgent(name="slow", description="waits", llm=ScriptedModel(delay=30.0), tools=[])
        handler = agent.run("?")
        await asyncio.sleep(0.1)
        await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017, PT011
            await handler
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert only(spans(), "agent").status == "cancelled"
    assert {span.status for span in spans()} <= {"cancelled", "ok"}


def test_instrumenting_twice_records_once_and_can_be_undone(spans):
    ironspan.llamaindex.instrument()
    ScriptedModel().chat([])
    assert len(spans()) == 1
    ironspan.llamaindex.uninstrument()
    ScriptedModel().chat([])
    assert len(spans()) == 1
    dispatcher = get_dispatcher()
    ours = [
        each for each in (*dispatcher.span_handlers, *dispatcher.event_handlers) if "ironspan" in type(each).__module__
    ]
    assert ours == []


# Many and hostile


def test_a_thousand_requests_leave_nothing_open_and_memory_flat(spans, memory, engine_of):
    engine = engine_of()

    def used() -> int:
        gc.collect()
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

    for _ in range(200):
        engine.query("why?")
    memory.clear()
    before = used()
    for _ in range(800):
        engine.query("why?")
        if len(spans()) > 1_000:
            memory.clear()
    memory.clear()
    assert len(RUNS) == 0
    assert used() - before < 5_000_000


class Nameless(LLMMetadata):
    """Metadata that fails where its name is asked for."""

    def __getattribute__(self, name: str) -> Any:
        if name == "model_name":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Hostile(ScriptedModel):
    """A model that cannot say what it is called."""

    @property
    def metadata(self) -> LLMMetadata:
        return Nameless(is_function_calling_model=True)


def test_a_model_that_cannot_name_itself_is_recorded_by_its_class(spans):
    answer = Hostile().chat([ChatMessage(role="user", content="?")])
    assert answer.message.content == "one two three"
    assert only(spans(), "generation").attributes["gen_ai.request.model"] == "Hostile"


def test_signals_that_make_no_sense_raise_nothing():
    _guard.reraise = False
    before = ironspan.stats()["internal_errors"]
    handler = Spans()
    handler.span_enter(id_=7, bound_args=None)  # type: ignore[arg-type]
    handler.span_exit(id_="unknown", bound_args=None)  # type: ignore[arg-type]
    handler.span_drop(id_="unknown", bound_args=None, err=None)  # type: ignore[arg-type]
    Events().handle(None)
    assert ironspan.stats()["internal_errors"] == before + 1
