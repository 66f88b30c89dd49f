"""LangChain runs as spans: chains, models, tools and retrievers, in every way LangChain can run them."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import random
import subprocess
import sys
import threading
import tracemalloc
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException, tool
from tests.support.models import FixedChatModel
from tests.support.outline import only, outline

import ironspan
from ironspan import _guard
from ironspan._runs import RUNS
from ironspan.langchain import CallbackHandler

CHAIN = """\
workflow RunnableSequence
  span ChatPromptTemplate
  generation gpt-4o
  span StrOutputParser
"""


def chain(**model: Any) -> Any:
    return ChatPromptTemplate.from_messages([("user", "{question}")]) | FixedChatModel(**model) | StrOutputParser()


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
    assert len({span["trace_id"] for span in spans()}) == 3


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
    # The configuration of a run reaches a thread where another trace is current.
    def step(_: Any, config: Any) -> None:
        def elsewhere() -> None:
            with ironspan.span("other trace"):
                FixedChatModel().invoke("?", config)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert "workflow outer\n  generation gpt-4o\n" in outline(spans())


def test_hidden_runs_are_left_out_and_their_children_kept(spans):
    inner = RunnableLambda(lambda _: FixedChatModel().invoke("?").content)
    plumbing = RunnableLambda(lambda x: inner.invoke(x, {"tags": []})).with_config(tags=["langsmith:hidden"])
    RunnableLambda(lambda x: plumbing.invoke(x)).invoke(1, config(run_name="outer"))
    # Tags are inherited, so the inner lambda is hidden too; models are always shown.
    assert outline(spans()) == "workflow outer\n  generation gpt-4o\n"


# Facts


def test_generation_carries_model_request_and_usage(spans):
    params = {"max_completion_tokens": 64, "api_key": "s3cret", "default_headers": {"x": "s3cret"}, "top_p": 0.5}
    model = FixedChatModel(params=params).bind(tools=[{"type": "function", "function": {"name": "divide"}}])
    model.invoke("hello", config())
    span = only(spans(), "generation", "gpt-4o")
    attributes = span["attributes"]
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
    attributes = only(spans(), "generation")["attributes"]
    assert attributes["gen_ai.operation.name"] == "text_completion"
    assert "is it?" in attributes["gen_ai.input.messages"]
    assert "yes" in attributes["gen_ai.output.messages"]


def test_stream_records_first_chunk_and_usage(spans):
    chunks = list(FixedChatModel().stream("?", config()))
    span = only(spans(), "generation")
    assert span["status"] == "ok"
    assert 0 < span["attributes"]["gen_ai.response.time_to_first_chunk"] < 60
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert span["attributes"]["gen_ai.usage.input_tokens"] == 100
    assert len(chunks) >= 4


def test_tool_carries_call_id_arguments_and_result(spans):
    call = {"type": "tool_call", "id": "call_7", "name": "divide", "args": {"dividend": 1, "divisor": 4}}
    assert isinstance(divide.invoke(call, config()), ToolMessage)
    attributes = only(spans(), "tool", "divide")["attributes"]
    assert attributes["gen_ai.tool.name"] == "divide"
    assert attributes["gen_ai.tool.call.id"] == "call_7"
    assert attributes["gen_ai.tool.description"] == "Divide two numbers."
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"dividend": 1, "divisor": 4}
    assert "0.25" in str(attributes["gen_ai.tool.call.result"])


def test_retrieval_carries_documents_with_scores_and_holds_spans_opened_in_it(spans):
    Shelf().invoke("where?", config())
    assert outline(spans()) == "retrieval Shelf\n  span rank\n"
    attributes = only(spans(), "retrieval")["attributes"]
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
    assert set(root["attributes"]["ironspan.tags"]) == {"plain", "key:value"}
    assert root["attributes"]["tenant"] == "acme"
    assert "tenant" not in model["attributes"]
    for span in (root, model):
        assert span["attributes"]["session.id"] == "s-1"
        assert span["attributes"]["gen_ai.conversation.id"] == "s-1"
        assert span["attributes"]["user.id"] == "42"
    assert not any("seq:step" in str(span["attributes"]) for span in spans())


def test_metadata_that_looks_like_a_serialized_object_stays_data(spans):
    bait = {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}}
    RunnableLambda(lambda x: x).invoke(1, config(metadata={"bait": bait}))
    assert json.loads(only(spans(), "workflow")["attributes"]["bait"]) == bait


# Failures


def test_tool_error_is_an_error_of_the_tool_and_of_the_chain_above(spans):
    def step(_: Any) -> Any:
        return divide.invoke({"dividend": 1, "divisor": 0})

    with pytest.raises(ZeroDivisionError):
        RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert outline(spans()) == "workflow outer [error]\n  tool divide [error]\n"
    span = only(spans(), "tool")
    assert span["attributes"]["error.type"] == "ZeroDivisionError"
    assert [event["name"] for event in span["events"]] == ["exception"]


def test_tool_error_that_is_told_to_the_model_is_still_an_error_of_the_tool(spans):
    @tool
    def refuse(why: str) -> str:
        """Refuse."""
        raise ToolException(why)

    refuse.handle_tool_error = True
    message = refuse.invoke({"type": "tool_call", "id": "c", "name": "refuse", "args": {"why": "no"}}, config())
    assert message.status == "error"
    assert outline(spans()) == "tool refuse [error]\n"


def test_retried_step_shows_each_attempt(spans):
    attempts = iter([ConnectionResetError("stale"), None])

    def flaky(x: int) -> int:
        failure = next(attempts)
        if failure is not None:
            raise failure
        return x

    step = RunnableLambda(flaky).with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    assert step.invoke(1, config()) == 1
    recorded = spans()
    assert [span["attributes"].get("ironspan.attempt") for span in recorded if span["parent_id"]] == [None, 2]
    assert outline(recorded) == "workflow flaky\n  span flaky [error]\n  span flaky\n"


def test_model_error_keeps_what_was_streamed(spans):
    with pytest.raises(ValueError, match="overloaded"):
        list(FixedChatModel(failure=ValueError("overloaded")).stream("?", config()))
    span = only(spans(), "generation")
    assert span["status"] == "error"
    assert "one two" in span["attributes"]["gen_ai.output.messages"]


def test_stream_dropped_early_is_cancelled_with_its_partial_text(spans):
    for chunk in FixedChatModel().stream("?", config()):
        if chunk.content:
            break
    del chunk
    gc.collect()
    span = only(spans(), "generation")
    assert span["status"] == "cancelled"
    assert "one" in span["attributes"]["gen_ai.output.messages"]
    assert "three" not in span["attributes"]["gen_ai.output.messages"]
    assert not span["events"]


def test_async_stream_dropped_early_is_cancelled_everywhere(spans):
    async def run() -> None:
        stream = chain().astream({"question": "?"}, config())
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(run())
    assert outline(spans(), sort=True) == (
        "workflow RunnableSequence [cancelled]\n"
        "  generation gpt-4o [cancelled]\n"
        "  span ChatPromptTemplate\n"
        "  span StrOutputParser [cancelled]\n"
    )


def test_cancelled_model_call_ends_though_the_framework_sends_no_callback(spans):
    async def run() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(FixedChatModel(hang=True).ainvoke("?", config()), 0.01)
        gc.collect()
        assert len(RUNS) == 0

    asyncio.run(run())
    assert outline(spans()) == "generation gpt-4o [cancelled]\n"


def test_cancelled_tool_ends_with_the_chain_above(spans):
    @tool
    async def wait(seconds: float) -> None:
        """Wait."""
        started.set()
        await asyncio.Event().wait()

    started: asyncio.Event

    async def step(_: Any) -> None:
        await wait.ainvoke({"seconds": 1.0})

    async def run() -> None:
        nonlocal started
        started = asyncio.Event()
        task = asyncio.create_task(RunnableLambda(step).ainvoke(1, config(run_name="outer")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    gc.collect()
    assert outline(spans()) == "workflow outer [cancelled]\n  tool wait [cancelled]\n"


def test_exception_of_a_tool_is_not_kept_alive(spans):
    class Failure(Exception):
        pass

    reference = None

    @tool
    def fail() -> None:
        """Fail."""
        raise Failure

    try:
        fail.invoke({}, config())
    except Failure as error:
        reference = weakref.ref(error)
    gc.collect()
    assert reference is not None
    assert reference() is None


# Handlers


def test_two_handlers_make_one_span_per_run(spans):
    model = FixedChatModel(callbacks=[CallbackHandler()])
    model.invoke("?", {"callbacks": [CallbackHandler(), CallbackHandler()]})
    assert outline(spans()) == "generation gpt-4o\n"


def test_handler_passed_to_inner_calls_too_keeps_them_in_the_tree(spans):
    handler = CallbackHandler()

    def step(_: Any) -> Any:
        return FixedChatModel().invoke("?", {"callbacks": [handler]})

    RunnableLambda(step).invoke(1, {"callbacks": [handler], "run_name": "outer"})
    assert outline(spans()) == "workflow outer\n  generation gpt-4o\n"


def test_handler_survives_copying_and_pickling(spans):
    handler = CallbackHandler()
    for twin in (copy.copy(handler), copy.deepcopy(handler), pickle.loads(pickle.dumps(handler))):
        FixedChatModel().invoke("?", {"callbacks": [twin]})
    assert outline(spans()) == 3 * "generation gpt-4o\n"


def test_unknown_parent_makes_a_marked_root(spans):
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_chain_start({"name": "stray"}, {}, run_id=run_id, parent_run_id=uuid.uuid4())
    handler.on_chain_end({}, run_id=run_id)
    span = only(spans(), "span", "stray")
    assert span["parent_id"] is None
    assert span["attributes"]["ironspan.orphan"] is True


def test_run_that_starts_after_its_parent_ended_is_still_below_it(spans):
    handler, parent, late = CallbackHandler(), uuid.uuid4(), uuid.uuid4()
    handler.on_chain_start({"name": "request"}, {}, run_id=parent)
    handler.on_chain_end({}, run_id=parent)
    handler.on_chain_start({"name": "background"}, {}, run_id=late, parent_run_id=parent)
    handler.on_chain_end({}, run_id=late)
    assert outline(spans()) == "workflow request\n  span background\n"


def test_custom_events_and_retries_are_events_of_their_run(spans):
    from langchain_core.callbacks import dispatch_custom_event

    def step(x: int) -> int:
        dispatch_custom_event("progress", {"done": 0.5})
        return x

    RunnableLambda(step).invoke(1, config())
    events = only(spans(), "workflow")["events"]
    assert [event["name"] for event in events] == ["progress"]


def test_hundred_runs_at_once_on_one_handler_do_not_mix(spans):
    handler = CallbackHandler()

    def step(number: int) -> int:
        with ironspan.span(f"mine {number}"):
            FixedChatModel().invoke(f"question {number}")
        return number

    async def astep(number: int) -> int:
        with ironspan.span(f"mine {number}"):
            await FixedChatModel().ainvoke(f"question {number}")
        return number

    def settings(number: int) -> Any:
        return {"callbacks": [handler], "run_name": f"run {number}"}

    async def fifty() -> None:
        await asyncio.gather(*(RunnableLambda(astep).ainvoke(n, settings(n)) for n in range(50, 100)))

    with ThreadPoolExecutor(16) as pool:
        done = pool.map(lambda n: RunnableLambda(step).invoke(n, settings(n)), range(50))
        asyncio.run(fifty())
        assert sorted(done) == list(range(50))
    recorded = spans()
    assert len(recorded) == 300
    traces: dict[str, list[dict[str, Any]]] = {}
    for span in recorded:
        traces.setdefault(span["trace_id"], []).append(span)
    expected = {f"workflow run {n}\n  span mine {n}\n    generation gpt-4o\n" for n in range(100)}
    assert {outline(trace) for trace in traces.values()} == expected
    for trace in traces.values():
        number = only(trace, "workflow")["name"].split()[-1]
        assert f"question {number}" in only(trace, "generation")["attributes"]["gen_ai.input.messages"]


def test_ten_thousand_runs_leave_nothing_open(spans):
    handler = CallbackHandler()
    settings = {"callbacks": [handler]}

    def step(number: int) -> int:
        if number % 10 == 0:
            raise ValueError(number)
        return number

    runnable = RunnableLambda(step)
    for number in range(9_900):
        try:
            runnable.invoke(number, settings)
        except ValueError:
            assert number % 10 == 0
    for _ in range(100):
        next(iter(FixedChatModel().stream("?", settings)))
    gc.collect()
    assert handler.open_runs == 0
    assert ironspan.stats()["open_spans"] == 0


def test_tokens_leave_memory_flat(spans):
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_chat_model_start({"name": "m"}, [[]], run_id=run_id)
    handler.on_llm_new_token("x", run_id=run_id)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50_000):
            handler.on_llm_new_token("x", run_id=run_id)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    handler.on_llm_error(GeneratorExit(), run_id=run_id)
    assert grown < 16_384
    assert only(spans(), "generation")["status"] == "cancelled"


class Hostile:
    """Fails at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__


def test_no_callback_ever_raises(spans):
    _guard.reraise = False
    handler = CallbackHandler()
    names = sorted(name for name in dir(BaseCallbackHandler) if name.startswith("on_"))
    generator = random.Random(20261122)
    ids = [uuid.UUID(int=n) for n in range(8)]
    garbage: list[Any] = [
        None,
        0,
        "",
        "x",
        [],
        {},
        [None],
        {"id": 3},
        object(),
        Hostile(),
        b"\xff",
        float("nan"),
        [[[]]],
    ]
    garbage += [AIMessage("x"), ValueError("x"), ids[0], ("seq:step:1",), {"name": Hostile()}]

    def pick() -> Any:
        return generator.choice(garbage)

    def value(name: str) -> Any:
        return generator.choice(ids) if name.endswith("run_id") and generator.random() < 0.9 else pick()

    keywords = (
        "run_id",
        "parent_run_id",
        "tags",
        "metadata",
        "name",
        "inputs",
        "response",
        "chunk",
        "invocation_params",
    )
    for _ in range(5_000):
        name = generator.choice(names)
        given = {key: value(key) for key in keywords if generator.random() < 0.7}
        arguments = [pick() for _ in range(generator.randrange(4))]
        getattr(handler, name)(*arguments, **given)
    for run_id in [*ids, *garbage]:
        handler.on_chain_end({}, run_id=run_id)
    gc.collect()
    assert handler.open_runs == 0


# Packaging


def test_importing_ironspan_leaves_langchain_alone():
    code = "import sys, ironspan; sys.exit(any(name.startswith('langchain') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_langchain_core_says_what_to_install():
    code = "import sys; sys.modules['langchain_core'] = None; import ironspan.langchain"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "ImportError" in run.stderr
    assert "pip install langchain-core" in run.stderr
