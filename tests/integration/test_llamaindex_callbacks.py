"""The old callback manager: what only it is told becomes spans, what the dispatcher tells too stays one span."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import ironspan
import ironspan.llamaindex
import pytest
from ironspan import _guard
from ironspan._runs import RUNS
from llama_index.core import Document, Settings, TreeIndex
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.tools import FunctionTool, ToolMetadata

from tests.support.llama import ScriptedModel, index
from tests.support.outline import only, outline

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

METHODS = ("on_event_start", "on_event_end", "start_trace", "end_trace")
ORIGINAL = {name: getattr(CallbackManager, name) for name in METHODS}


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    ironspan.llamaindex.instrument()
    yield
    ironspan.llamaindex.uninstrument()
    assert {name: getattr(CallbackManager, name) for name in METHODS} == ORIGINAL


@pytest.fixture
def notes() -> Any:
    """An index of two documents, built unseen."""
    ironspan.llamaindex.uninstrument()
    made = index()
    ironspan.llamaindex.instrument()
    return made


class Library:
    """A component as users wrote them before the dispatcher was there."""

    def __init__(self, manager: CallbackManager, retriever: Any = None) -> None:
        self.manager, self.retriever = manager, retriever

    def ask(self, question: str) -> str:
        asked = {EventPayload.QUERY_STR: question}
        with self.manager.as_trace("library"), self.manager.event(CBEventType.QUERY, payload=asked) as query:
            with self.manager.event(CBEventType.RETRIEVE, payload=asked) as found:
                nodes = self.retriever.retrieve(question) if self.retriever is not None else []
                found.on_end(payload={EventPayload.NODES: nodes})
            with ironspan.span("mine"), self.manager.event(CBEventType.LLM, payload=self.request()) as answer:
                answer.on_end(payload={EventPayload.RESPONSE: "twice a day"})
            query.on_end(payload={EventPayload.RESPONSE: "twice a day"})
        return "twice a day"

    @staticmethod
    def request() -> dict[Any, Any]:
        return {
            EventPayload.MESSAGES: [{"role": "user", "content": "when?"}],
            EventPayload.SERIALIZED: {"model": "gpt-4o", "temperature": 0.5, "api_key": "sk-secret"},
        }


LIBRARY = """\
workflow library
  span query
    retrieval retrieval
    span mine
      generation gpt-4o
"""


def test_a_component_that_knows_only_the_manager_has_its_tree(spans):
    Library(CallbackManager()).ask("when?")
    assert outline(spans()) == LIBRARY
    call = only(spans(), "generation").attributes
    assert call["gen_ai.request.temperature"] == 0.5
    assert "when?" in call["gen_ai.input.messages"]
    assert "twice a day" in call["gen_ai.output.messages"]
    assert "sk-secret" not in str(call)
    query = only(spans(), "span", "query").attributes
    assert (query["input.value"], query["output.value"]) == ("when?", "twice a day")


def test_managers_that_were_made_before_and_with_handlers_are_heard_and_keep_them(spans):
    ironspan.llamaindex.uninstrument()
    counting = LlamaDebugHandler(print_trace_on_end=False)
    handlers = [counting]
    managers = [CallbackManager(), CallbackManager(handlers)]
    ironspan.llamaindex.instrument()
    # LlamaIndex refuses two managers with one list when a global handler is set.
    managers.append(CallbackManager(handlers))
    for manager in managers:
        Library(manager).ask("when?")
    assert outline(spans()) == LIBRARY * 3
    assert handlers == [counting]
    assert len(counting.get_event_pairs(CBEventType.LLM)) == 2
    assert counting.get_event_pairs(CBEventType.LLM)[0][1].payload == {EventPayload.RESPONSE: "twice a day"}


def test_a_retrieval_that_is_told_of_before_the_retriever_is_asked_is_one(spans, notes):
    Library(CallbackManager(), notes.as_retriever()).ask("when?")
    assert "    retrieval retrieval\n      embedding MockEmbedding\n    span mine\n" in outline(spans())
    found = only(spans(), "retrieval").attributes
    assert found["gen_ai.retrieval.query.text"] == "when?"
    assert found["gen_ai.data_source.id"] == "VectorIndexRetriever"
    assert len(json.loads(found["gen_ai.retrieval.documents"])) == 2


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def test_a_tool_that_is_told_of_before_it_is_called_is_one(spans):
    manager, tool = CallbackManager(), FunctionTool.from_defaults(add)
    told = {EventPayload.FUNCTION_CALL: {"a": 1, "b": 2}, EventPayload.TOOL: tool.metadata}
    with manager.event(CBEventType.FUNCTION_CALL, payload=told) as call:
        call.on_end(payload={EventPayload.FUNCTION_OUTPUT: str(tool.call(a=1, b=2))})
    assert outline(spans()) == "tool add\n"
    done = only(spans(), "tool").attributes
    assert json.loads(done["gen_ai.tool.call.arguments"]) == {"a": 1, "b": 2}
    assert done["gen_ai.tool.call.result"] == "3"


def test_a_query_with_handlers_in_its_managers_has_the_tree_of_a_query(spans, notes):
    tokens = TokenCountingHandler(tokenizer=str.split)
    before = Settings._callback_manager
    Settings.callback_manager = CallbackManager([tokens])
    try:
        model = ScriptedModel(callback_manager=Settings.callback_manager)
        notes.as_query_engine(llm=model).query("why?")
    finally:
        Settings._callback_manager = before
    assert outline(spans()) == (
        "workflow RetrieverQueryEngine\n"
        "  retrieval VectorIndexRetriever\n"
        "    embedding MockEmbedding\n"
        "  span CompactAndRefine\n"
        "    generation gpt-4o\n"
    )
    assert tokens.total_llm_token_count == 120


class Shouting(CustomQueryEngine):
    """An engine of the user's, with an event of its own around the model."""

    llm: ScriptedModel

    def custom_query(self, query_str: str) -> str:
        with self.callback_manager.event(CBEventType.SUB_QUESTION), self.callback_manager.event("shout", {"to": "all"}):
            return str(self.llm.complete(query_str)).upper()


def test_events_of_a_users_engine_stand_in_its_query(spans):
    assert str(Shouting(llm=ScriptedModel()).query("why?")) == "ONE TWO THREE"
    assert outline(spans()) == ("workflow Shouting\n  span sub_question\n    span shout\n      generation gpt-4o\n")
    assert json.loads(only(spans(), "span", "shout").attributes["input.value"]) == {"to": "all"}


def test_building_an_index_is_one_workflow(spans):
    index()
    assert outline(spans()) == "workflow index_construction\n  span SentenceSplitter\n  embedding MockEmbedding\n"


def test_a_tree_of_summaries_is_a_span_with_the_models_that_were_asked(spans):
    documents = [Document(text=f"part {number}") for number in range(3)]
    TreeIndex.from_documents(documents, llm=ScriptedModel(), num_children=2)
    assert outline(spans()) == (
        "workflow index_construction\n"
        "  span SentenceSplitter\n"
        "  span tree\n"
        "    generation gpt-4o\n"
        "    generation gpt-4o\n"
    )
    assert json.loads(only(spans(), "span", "tree").attributes["input.value"]) == {"chunks": 2}


def test_a_node_parser_that_is_called_alone_is_a_span_that_counts(spans):
    nodes = SentenceSplitter().get_nodes_from_documents([Document(text="one"), Document(text="two")])
    assert outline(spans()) == "span node_parsing\n"
    parsed = only(spans(), "span").attributes
    assert json.loads(parsed["input.value"]) == {"documents": 2}
    assert json.loads(parsed["output.value"]) == {"nodes": len(nodes)}


def test_agent_steps_embeddings_reranks_and_templates_have_their_kinds(spans):
    manager = CallbackManager()
    with manager.event(CBEventType.AGENT_STEP, payload={EventPayload.MESSAGES: ["hello"]}) as step:
        with manager.event(CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: {"model_name": "small"}}) as made:
            made.on_end(payload={EventPayload.CHUNKS: ["hello"], EventPayload.EMBEDDINGS: [[0.1, 0.2, 0.3]]})
        with manager.event(CBEventType.RERANKING, payload={EventPayload.MODEL_NAME: "judge", EventPayload.TOP_K: 1}):
            pass
        with manager.event(CBEventType.TEMPLATING, payload={EventPayload.TEMPLATE: "{x}"}):
            pass
        tool = {EventPayload.TOOL: ToolMetadata(description="looks", name="look"), "function_call": '{"at": "tides"}'}
        with manager.event(CBEventType.FUNCTION_CALL, payload=tool):
            pass
        step.on_end(payload={EventPayload.RESPONSE: "done"})
    assert outline(spans()) == ("agent agent_step\n  embedding small\n  rerank judge\n  span templating\n  tool look\n")
    made = only(spans(), "embedding").attributes
    assert (made["gen_ai.embeddings.dimension.count"], json.loads(made["input.value"])) == (3, ["hello"])
    assert json.loads(only(spans(), "tool").attributes["gen_ai.tool.call.arguments"]) == {"at": "tides"}


def test_a_start_and_an_end_without_a_block_enclose_what_is_between(spans):
    manager = CallbackManager()
    id_ = manager.on_event_start(CBEventType.QUERY, payload={"query_str": "bare"})
    ScriptedModel().complete("?")
    manager.on_event_end(CBEventType.QUERY, payload={"response": "done"}, event_id=id_)
    assert outline(spans()) == "span query\n  generation gpt-4o\n"
    with ironspan.span("after"):
        pass
    assert only(spans(), "span", "after").parent_id is None


def test_events_in_tasks_side_by_side_do_not_mix(spans):
    manager = CallbackManager()

    async def one(number: int) -> None:
        with manager.event(CBEventType.QUERY, payload={EventPayload.QUERY_STR: str(number)}):
            await asyncio.sleep(0)
            await ScriptedModel().acomplete(f"of {number}")
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        with ironspan.span("all"):
            await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(all_of_them())
    assert outline(spans()) == "span all\n" + "  span query\n    generation gpt-4o\n" * 20
    queries = {span.span_id: span.attributes["input.value"] for span in spans() if span.name == "query"}
    for call in (span for span in spans() if span.kind == "generation"):
        assert f"of {queries[call.parent_id]}" in call.attributes["gen_ai.input.messages"]


# Endings


def test_an_exception_is_an_error_of_each_event_and_of_the_trace_that_it_leaves(spans):
    manager = CallbackManager()
    with (
        pytest.raises(ValueError, match="closed"),
        manager.as_trace("library"),
        manager.event(CBEventType.QUERY),
        manager.event(CBEventType.RETRIEVE),
    ):
        raise ValueError("closed")
    assert outline(spans()) == "workflow library [error]\n  span query [error]\n    retrieval retrieval [error]\n"
    assert {span.status_message for span in spans()} == {"closed"}


def test_an_event_inside_of_an_except_block_is_no_error(spans):
    manager = CallbackManager()
    try:
        raise KeyError("first try")
    except KeyError:
        with manager.event(CBEventType.QUERY):
            pass
    assert outline(spans()) == "span query\n"


def test_a_cancelled_task_leaves_its_events_cancelled(spans):
    manager, began = CallbackManager(), asyncio.Event()

    async def wait() -> None:
        with manager.as_trace("library"), manager.event(CBEventType.QUERY):
            began.set()
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(wait())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert outline(spans()) == "workflow library [cancelled]\n  span query [cancelled]\n"


def test_an_exception_that_a_component_tells_of_is_an_event_of_the_span_around(spans):
    told = {EventPayload.EXCEPTION: ValueError("a shelf is missing")}
    with ironspan.span("mine"):
        CallbackManager().on_event_start(CBEventType.EXCEPTION, payload=told)
    CallbackManager().on_event_start(CBEventType.EXCEPTION, payload=told)
    mine = only(spans(), "span", "mine")
    assert [event["attributes"]["exception.message"] for event in mine.events] == ["a shelf is missing"]
    assert mine.status == "ok"
    assert only(spans(), "span", "exception").status == "error"


def test_an_event_that_is_never_ended_is_ended_by_the_table(memory, spans, monkeypatch):
    monkeypatch.setenv("IRONSPAN_RUN_IDLE_SECONDS", "1")
    ironspan.init("tests", store=None, exporters=[memory])
    CallbackManager().on_event_start(CBEventType.LLM, payload=Library.request())
    assert len(RUNS) == 1
    deadline = time.monotonic() + 10
    while len(RUNS) and time.monotonic() < deadline:
        RUNS.sweep()
        time.sleep(0.05)
    assert only(spans(), "generation").status == "abandoned"


# Undone, and hostile


def test_after_uninstrument_nothing_of_it_is_left(spans):
    assert CallbackManager.on_event_start is not ORIGINAL["on_event_start"]
    ironspan.llamaindex.instrument()
    ironspan.llamaindex.uninstrument()
    assert {name: getattr(CallbackManager, name) for name in METHODS} == ORIGINAL
    Library(CallbackManager()).ask("when?")
    assert [span.name for span in spans()] == ["mine"]
    dispatcher = get_dispatcher()
    handlers = (*dispatcher.event_handlers, *dispatcher.span_handlers)
    assert [each for each in handlers if "ironspan" in type(each).__module__] == []


def test_a_wrapper_of_somebody_else_stays_and_nothing_is_recorded_twice(spans, monkeypatch):
    ours = CallbackManager.on_event_start
    seen = []

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args[0])
        return ours(self, *args, **kwargs)

    theirs.__wrapped__ = ours  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(CallbackManager, "on_event_start", theirs)
        ironspan.llamaindex.uninstrument()
        with CallbackManager().event(CBEventType.QUERY):
            pass
        assert spans() == []
        ironspan.llamaindex.instrument()
        with CallbackManager().event(CBEventType.QUERY):
            pass
    assert seen == [CBEventType.QUERY] * 2
    assert outline(spans()) == "span query\n"
    ironspan.llamaindex.instrument()


class Hostile(dict[Any, Any]):
    """A payload that fails where it is read."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("no")


def test_a_payload_that_cannot_be_read_is_not_the_programs_trouble(spans):
    _guard.reraise = False
    before = ironspan.stats()["internal_errors"]
    with CallbackManager().event(CBEventType.RETRIEVE, payload=Hostile(x=1)) as event:
        event.on_end(payload=Hostile(x=1))
    assert ironspan.stats()["internal_errors"] == before + 1
    with CallbackManager().event(CBEventType.RETRIEVE) as event:
        event.on_end(payload=Hostile(x=1))
    assert ironspan.stats()["internal_errors"] == before + 2
    with CallbackManager().event(CBEventType.LLM, payload=[1, 2]) as event:  # type: ignore[arg-type]
        event.on_end(payload="no payload")  # type: ignore[arg-type]
    assert outline(spans()) == "retrieval retrieval\ngeneration chat\n"


def test_a_handler_that_raises_raises_as_before(spans):
    class Failing(LlamaDebugHandler):
        def on_event_start(self, *args: Any, **kwargs: Any) -> str:
            raise RuntimeError("the handler's own")

    with pytest.raises(RuntimeError, match="the handler's own"):
        Library(CallbackManager([Failing(print_trace_on_end=False)])).ask("when?")
    gc.collect()
    assert outline(spans()) == "workflow library [error]\n"
