"""What goes wrong in LangChain runs, what is shared between handlers, and what must not happen to the program."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ironspan
import pytest
from ironspan import _guard
from ironspan._runs import RUNS
from ironspan.langchain import CallbackHandler
from ironspan.testing import FinishedSpan
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool

from tests.support.models import FixedChatModel, chain
from tests.support.outline import only, outline
from tests.support.versions import since


@tool
def divide(dividend: float, divisor: float) -> float:
    """Divide two numbers."""
    return dividend / divisor


def config(**more: Any) -> Any:
    return {"callbacks": [CallbackHandler()], **more}


# Failures


def test_tool_error_is_an_error_of_the_tool_and_of_the_chain_above(spans):
    def step(_: Any) -> Any:
        return divide.invoke({"dividend": 1, "divisor": 0})

    with pytest.raises(ZeroDivisionError):
        RunnableLambda(step).invoke(1, config(run_name="outer"))
    assert outline(spans()) == "workflow outer [error]\n  tool divide [error]\n"
    span = only(spans(), "tool")
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert [event["name"] for event in span.events] == ["exception"]


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
    assert [span.attributes.get("ironspan.attempt") for span in recorded if span.parent_id] == [None, 2]
    assert outline(recorded) == "workflow flaky\n  span flaky [error]\n  span flaky\n"


def test_model_error_keeps_what_was_streamed(spans):
    with pytest.raises(ValueError, match="overloaded"):
        list(FixedChatModel(failure=ValueError("overloaded")).stream("?", config()))
    span = only(spans(), "generation")
    assert span.status == "error"
    assert "one two" in span.attributes["gen_ai.output.messages"]


@since("langchain-core", "0.3.60", "a dropped stream is told with its last chunk")
def test_stream_dropped_early_is_cancelled_with_its_partial_text(spans):
    for chunk in FixedChatModel().stream("?", config()):
        if chunk.content:
            break
    del chunk
    gc.collect()
    span = only(spans(), "generation")
    assert span.status == "cancelled"
    assert "one" in span.attributes["gen_ai.output.messages"]
    assert "three" not in span.attributes["gen_ai.output.messages"]
    assert not span.events


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
        # The event loop lets go of the cancelled call within its next turns.
        deadline = time.monotonic() + 10
        while len(RUNS) and time.monotonic() < deadline:
            await asyncio.sleep(0)
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
    assert span.parent_id is None
    assert span.attributes["ironspan.orphan"] is True


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
    events = only(spans(), "workflow").events
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
    traces: dict[str, list[FinishedSpan]] = {}
    for span in recorded:
        traces.setdefault(span.trace_id, []).append(span)
    expected = {f"workflow run {n}\n  span mine {n}\n    generation gpt-4o\n" for n in range(100)}
    assert {outline(trace) for trace in traces.values()} == expected
    for trace in traces.values():
        number = only(trace, "workflow").name.split()[-1]
        assert f"question {number}" in only(trace, "generation").attributes["gen_ai.input.messages"]


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
    assert only(spans(), "generation").status == "cancelled"


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


def test_tags_without_an_end_are_left_alone(spans):
    handler, run_id = CallbackHandler(), uuid.uuid4()
    handler.on_chain_start({"name": "x"}, {}, run_id=run_id, tags=itertools.count())
    handler.on_chain_end({}, run_id=run_id)
    assert outline(spans()) == "workflow x\n"


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
