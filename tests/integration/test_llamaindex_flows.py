"""Workflows and agents of LlamaIndex in every way they go on, stop, wait, fail and are given up."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ironspan
import ironspan.llamaindex
import pytest

from tests.support.versions import is_older, since

if is_older("llama-index-core", "0.12.43"):
    pytest.skip("agents are workflows since llama-index-core 0.12.43", allow_module_level=True)

from ironspan._runs import RUNS
from ironspan.llamaindex._spans import Spans
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, CodeActAgent, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)

from tests.support.llama import ScriptedModel, index, tool_call
from tests.support.outline import only, outline

pytestmark = [
    pytest.mark.usefixtures("llamaindex"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: From version 2 on a run tells how it ended.
TELLS = int(importlib.metadata.version("llama-index-workflows").split(".")[0]) >= 2


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits for a condition, and fails where it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        await asyncio.sleep(0.005)


async def ended(spans: Callable[[], list[Any]], kind: str) -> None:
    """Waits until a span of that kind has been recorded."""
    await until(lambda: any(span.kind == kind for span in spans()))


async def asked() -> None:
    """Waits until a model is being asked."""
    await until(lambda: any(getattr(run, "kind", "") == "generation" for run in RUNS.runs()))


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def agent_of(*script: Any, name: str = "adder", tools: list[Any] | None = None, **options: Any) -> FunctionAgent:
    given = [FunctionTool.from_defaults(add)] if tools is None else tools
    model = options.pop("llm", None) or ScriptedModel(script=list(script))
    return FunctionAgent(name=name, description="adds", tools=given, llm=model, **options)


def wants_context(function: Any) -> FunctionTool:
    """A tool that is handed the context: LlamaIndex knows it by the class itself, not by its name in quotes."""
    function.__annotations__["ctx"] = Context
    return FunctionTool.from_defaults(async_fn=function)


# Workflows


class Item(Event):
    """One of several things to do."""

    number: int


class Done(Event):
    """One of them is done."""

    number: int


class FanOut(Workflow):
    """Hands out three items, works on two at a time, and waits for all."""

    @step
    async def hand_out(self, ctx: Context, ev: StartEvent) -> Item | None:
        for number in range(3):
            ctx.send_event(Item(number=number))
        return None

    @step(num_workers=2)
    async def work(self, ctx: Context, ev: Item) -> Done:
        with ironspan.span(f"item {ev.number}"):
            await ScriptedModel().achat([ChatMessage(role="user", content=str(ev.number))])
        return Done(number=ev.number)

    @step(num_workers=1)
    async def collect(self, ctx: Context, ev: Done) -> StopEvent | None:
        found = ctx.collect_events(ev, [Done] * 3)
        return StopEvent(result=sorted(each.number for each in found)) if found else None


def test_events_that_are_sent_out_become_steps_side_by_side(spans):
    assert asyncio.run(_run(FanOut())) == [0, 1, 2]
    item = "  span work\n    span item {}\n      generation gpt-4o\n"
    assert outline(spans(), sort=True) == (
        "workflow FanOut\n" + "  span collect\n" * 3 + "  span hand_out\n" + "".join(item.format(n) for n in range(3))
    )


async def _run(workflow: Workflow, **given: Any) -> Any:
    return await workflow.run(**given)


class Inner(Workflow):
    """Asks a model."""

    @step
    async def ask(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=str(await ScriptedModel().acomplete(ev.question)))


class Outer(Workflow):
    """Runs another workflow in a step."""

    @step
    async def delegate(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await Inner().run(question="why?"))


def test_a_workflow_in_a_step_is_a_part_of_the_step(spans):
    assert asyncio.run(_run(Outer())) == "one two three"
    assert outline(spans()) == (
        "workflow Outer\n  span delegate\n    workflow Inner\n      span ask\n        generation gpt-4o\n"
    )


def test_a_run_that_nobody_waits_for_is_recorded_to_its_end(spans):
    async def run() -> None:
        Inner().run(question="why?")
        await ended(spans, "workflow")

    asyncio.run(run())
    assert outline(spans()) == "workflow Inner\n  span ask\n    generation gpt-4o\n"


def test_what_the_caller_does_while_a_run_goes_on_is_no_part_of_the_run(spans):
    async def run() -> None:
        handler = Inner().run(question="why?")
        await ScriptedModel().achat([])
        with CallbackManager().event(CBEventType.QUERY):
            pass
        await handler

    asyncio.run(run())
    assert outline(spans(), sort=True) == (
        "generation gpt-4o\nspan query\nworkflow Inner\n  span ask\n    generation gpt-4o\n"
    )


class Renamed(Workflow):
    """Calls its event by another name than the documentation does."""

    @step
    async def look(self, beginning: StartEvent, ctx: Context) -> StopEvent:
        return StopEvent(result=beginning.topic)


def test_a_step_is_known_by_its_name_whatever_its_event_is_called(spans):
    assert asyncio.run(_run(Renamed(), topic="tides")) == "tides"
    assert outline(spans()) == "workflow Renamed\n  span look\n"
    assert "tides" in only(spans(), "span").attributes["input.value"]


class Interview(Workflow):
    """Asks a human, by an event out and an event in."""

    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="name?")

    @step
    async def greet(self, ev: HumanResponseEvent) -> StopEvent:
        return StopEvent(result=f"hello {ev.response}")


def test_a_human_who_answers_by_an_event_is_waited_for_without_a_span(spans):
    async def run() -> tuple[str, list[str]]:
        handler, seen = Interview().run(), []
        async for event in handler.stream_events():
            seen.append(type(event).__name__)
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="ada"))
        return await handler, seen

    greeting, seen = asyncio.run(run())
    assert greeting == "hello ada"
    assert seen == ["InputRequiredEvent", "StopEvent"]
    assert outline(spans()) == "workflow Interview\n  span ask\n  span greet\n"


class Fails(Workflow):
    """Its second step breaks."""

    @step
    async def first(self, ev: StartEvent) -> Item:
        return Item(number=1)

    @step
    async def second(self, ev: Item) -> StopEvent:
        raise ValueError("no such shelf")


def test_a_step_that_fails_fails_the_run(spans):
    with pytest.raises(Exception, match="no such shelf"):
        asyncio.run(_run(Fails()))
    assert outline(spans()) == "workflow Fails [error]\n  span first\n  span second [error]\n"
    assert only(spans(), "workflow").status_message == "no such shelf"


class Again:
    """A policy: at once, and three tries at most."""

    def next(self, elapsed_time: float, attempts: int, error: Exception) -> float | None:
        return 0.0 if attempts < 3 else None


class Retries(Workflow):
    """Its step breaks once. Ends with nothing to say."""

    tries = 0

    @step(retry_policy=Again())
    async def work(self, ev: StartEvent) -> StopEvent:
        type(self).tries += 1
        if self.tries == 1:
            raise ValueError("once")
        return StopEvent(result=None)


def test_a_step_that_is_tried_again_is_a_span_for_each_try_and_the_run_is_well(spans):
    Retries.tries = 0
    assert asyncio.run(_run(Retries())) is None
    assert outline(spans()) == "workflow Retries\n  span work [error]\n  span work\n"


class Slow(Workflow):
    """Asks a model that takes its time."""

    @step
    async def ask(self, ev: StartEvent) -> StopEvent:
        await ScriptedModel(delay=30.0).achat([])
        return StopEvent()


SLOW = "workflow Slow [{}]\n  span ask [cancelled]\n    generation gpt-4o [cancelled]\n"


def test_a_run_whose_time_is_up_is_an_error_and_what_it_was_doing_is_cancelled(spans):
    async def run() -> None:
        with pytest.raises(Exception, match="timed out"):
            await Slow(timeout=0.05).run()
        await ended(spans, "workflow")

    asyncio.run(run())
    assert outline(spans()) == SLOW.format("error")


async def _by_cancel_run(handler: Any) -> None:
    await handler.cancel_run()


async def _by_cancel(handler: Any) -> None:
    handler.cancel()


@pytest.mark.parametrize("give_up", [_by_cancel_run, _by_cancel])
def test_a_cancelled_run_is_cancelled_with_all_that_it_was_doing(spans, give_up: Callable[[Any], Awaitable[None]]):
    async def run() -> None:
        handler = Slow().run()
        await asked()
        await give_up(handler)
        with pytest.raises(BaseException):  # noqa: B017, PT011
            await handler
        await ended(spans, "workflow")

    asyncio.run(run())
    assert outline(spans()) == SLOW.format("cancelled")


def test_a_cancelled_task_leaves_nothing_of_the_run_that_it_waited_for_open(spans):
    async def outer() -> None:
        with ironspan.workflow("outer"):
            await Slow().run()

    async def run() -> None:
        task = asyncio.create_task(outer())
        await asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # Newer versions go on with the run until the loop closes.
    asyncio.run(run())
    assert outline(spans()) == "workflow outer [cancelled]\n" + "".join(
        f"  {line}\n" for line in SLOW.format("cancelled").splitlines()
    )


# Agents


@pytest.mark.parametrize("streaming", [True, False])
def test_an_agent_has_one_shape_whether_its_model_streams_or_not(spans, streaming):
    agent = agent_of(tool_call("add", a=1, b=2), "three", streaming=streaming)
    assert str(asyncio.run(_run(agent, user_msg="1 + 2?"))) == "three"
    assert outline(spans()) == "agent adder\n  generation gpt-4o\n  tool add\n  generation gpt-4o\n"


def test_an_agents_events_reach_the_program_as_without_us(spans):
    async def events() -> list[str]:
        handler = agent_of(tool_call("add", a=1, b=2), "one two three").run("?")
        assert type(handler).__name__ == "WorkflowHandler"
        seen = [event async for event in handler.stream_events()]
        assert "".join(event.delta for event in seen if isinstance(event, AgentStream)).endswith("three")
        assert [event.tool_output.raw_output for event in seen if isinstance(event, ToolCallResult)] == [3]
        return [type(event).__name__ for event in seen]

    with_us = asyncio.run(events())
    ironspan.llamaindex.uninstrument()
    assert asyncio.run(events()) == with_us
    assert "AgentStream" in with_us


def test_a_code_act_agent_runs_its_code_as_a_tool(spans):
    def execute(code: str) -> str:
        """Runs code."""
        return "42"

    script = ["<execute>print(6*7)</execute>", "42"]
    agent = CodeActAgent(
        name="coder", description="codes", code_execute_fn=execute, tools=[], llm=ScriptedModel(script=script)
    )
    assert str(asyncio.run(_run(agent, user_msg="6 x 7?"))) == "42"
    assert outline(spans()) == "agent coder\n  generation gpt-4o\n  tool execute\n  generation gpt-4o\n"
    assert json.loads(only(spans(), "tool").attributes["gen_ai.tool.call.arguments"]) == {"code": "print(6*7)"}


def test_a_tool_that_wants_the_context_shows_its_own_arguments(spans):
    async def remember(ctx: Context, what: str) -> str:
        """Remembers something."""
        assert isinstance(ctx, Context)
        return what

    agent = agent_of(tool_call("remember", what="tea"), "ok", tools=[wants_context(remember)])
    assert str(asyncio.run(_run(agent, user_msg="?"))) == "ok"
    assert json.loads(only(spans(), "tool").attributes["gen_ai.tool.call.arguments"]) == {"what": "tea"}


def test_two_hand_overs_there_and_back_are_three_turns(spans):
    there, back = tool_call("handoff", to_agent="b", reason="sums"), tool_call("handoff", to_agent="a", reason="done")
    team = AgentWorkflow(
        agents=[
            agent_of(there, "three", name="a", tools=[], can_handoff_to=["b"]),
            agent_of(back, name="b", tools=[], can_handoff_to=["a"]),
        ],
        root_agent="a",
    )
    assert str(asyncio.run(_run(team, user_msg="1 + 2?"))) == "three"
    turn = "  agent {}\n    generation gpt-4o\n    tool handoff\n"
    assert outline(spans()) == (
        f"workflow AgentWorkflow\n{turn.format('a')}{turn.format('b')}  agent a\n    generation gpt-4o\n"
    )
    turns = sorted((span for span in spans() if span.kind == "agent"), key=lambda span: span.start_ns)
    assert [[link["span_id"] for link in span.links] for span in turns] == [
        [],
        [turns[0].span_id],
        [turns[1].span_id],
    ]
    for call in (span for span in spans() if span.kind == "tool"):
        assert set(json.loads(call.attributes["gen_ai.tool.call.arguments"])) == {"to_agent", "reason"}


class Twice(ScriptedModel):
    """Calls each tool twice in one answer."""

    def get_tool_calls_from_response(self, *args: Any, **kwargs: Any) -> Any:
        calls = super().get_tool_calls_from_response(*args, **kwargs)
        return calls + [call.model_copy(update={"tool_id": "call-2"}) for call in calls]


def test_two_tools_of_one_answer_are_siblings_with_ids_of_their_own(spans):
    agent = agent_of(llm=Twice(script=[tool_call("add", a=1, b=2), "three"]))
    assert str(asyncio.run(_run(agent, user_msg="?"))) == "three"
    assert outline(spans()) == "agent adder\n  generation gpt-4o\n  tool add\n  tool add\n  generation gpt-4o\n"
    ids = {span.attributes["gen_ai.tool.call.id"] for span in spans() if span.kind == "tool"}
    assert ids == {"call-1", "call-2"}


def test_an_agent_in_a_tool_of_another_is_an_agent_below_that_tool(spans):
    inner = agent_of("four", name="inner", tools=[])

    async def ask(question: str) -> str:
        """Asks the other agent."""
        return str(await inner.run(question))

    outer = agent_of(tool_call("ask", question="2 + 2?"), "four", name="outer", tools=[FunctionTool.from_defaults(ask)])
    assert str(asyncio.run(_run(outer, user_msg="?"))) == "four"
    assert outline(spans()) == (
        "agent outer\n  generation gpt-4o\n  tool ask\n    agent inner\n      generation gpt-4o\n  generation gpt-4o\n"
    )


def test_a_tool_that_waits_for_a_human_is_interrupted_and_no_error(spans):
    async def confirm(ctx: Context) -> str:
        """Asks a human."""
        answer = await ctx.wait_for_event(
            HumanResponseEvent, waiter_event=InputRequiredEvent(prefix="sure?"), waiter_id="sure"
        )
        return str(answer.response)

    async def run() -> str:
        handler = agent_of(tool_call("confirm"), "done", tools=[wants_context(confirm)]).run("?")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))
        return str(await handler)

    assert asyncio.run(run()) == "done"
    # Workflows 2 leave the tool and call it again; workflows 1 stay in it.
    first = "  tool confirm [interrupted]\n" if TELLS else ""
    assert outline(spans()) == f"agent adder\n  generation gpt-4o\n{first}  tool confirm\n  generation gpt-4o\n"


def test_a_model_that_fails_fails_the_agent(spans):
    with pytest.raises(Exception, match="quota"):
        asyncio.run(_run(agent_of(RuntimeError("quota")), user_msg="?"))
    assert outline(spans()) == "agent adder [error]\n  generation gpt-4o [error]\n"
    assert only(spans(), "agent").status_message == "quota"


@since("llama-index-core", "0.12.52", "agents stop after a number of rounds")
def test_an_agent_that_goes_round_in_circles_is_an_error(spans):
    with pytest.raises(Exception, match="Max iterations"):
        asyncio.run(_run(agent_of(tool_call("add", a=1, b=2)), user_msg="?", max_iterations=2))
    done = only(spans(), "agent")
    assert done.status == "error"
    assert "Max iterations" in done.status_message


def test_a_turn_that_is_cancelled_is_cancelled_with_its_run(spans):
    async def run() -> None:
        team = AgentWorkflow(agents=[agent_of(llm=ScriptedModel(delay=30.0), tools=[])], root_agent="adder")
        handler = team.run("?")
        await asked()
        await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017, PT011
            await handler
        await ended(spans, "workflow")

    asyncio.run(run())
    assert outline(spans()) == (
        "workflow AgentWorkflow [cancelled]\n  agent adder [cancelled]\n    generation gpt-4o [cancelled]\n"
    )


# Streams and tasks that are given up


def test_an_async_stream_that_is_closed_or_forgotten_ends_cancelled(spans):
    async def run() -> None:
        closed = await ScriptedModel().astream_chat([])
        assert (await anext(closed)).delta == "one"
        await closed.aclose()
        forgotten = await ScriptedModel().astream_chat([])
        assert (await anext(forgotten)).delta == "one"
        unread = await ScriptedModel().astream_complete("?")
        del forgotten, unread
        gc.collect()
        await until(lambda: len(RUNS) == 0)

    asyncio.run(run())
    assert outline(spans()) == "generation gpt-4o [cancelled]\n" * 3


def test_a_streamed_query_that_is_left_half_way_is_cancelled_in_its_generation(spans):
    ironspan.llamaindex.uninstrument()
    notes = index()
    ironspan.llamaindex.instrument()
    answer = notes.as_query_engine(llm=ScriptedModel(), streaming=True).query("why?")
    assert next(answer.response_gen) == "one"
    del answer
    gc.collect()
    assert only(spans(), "generation").status == "cancelled"
    assert "one" in only(spans(), "generation").attributes["gen_ai.output.messages"]
    assert only(spans(), "workflow").status == "ok"


def test_a_cancelled_query_is_cancelled_from_top_to_bottom(spans):
    ironspan.llamaindex.uninstrument()
    notes = index()
    ironspan.llamaindex.instrument()

    async def run() -> None:
        task = asyncio.create_task(notes.as_query_engine(llm=ScriptedModel(delay=30.0)).aquery("why?"))
        await asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert outline(spans()) == (
        "workflow RetrieverQueryEngine [cancelled]\n"
        "  retrieval VectorIndexRetriever\n"
        "    embedding MockEmbedding\n"
        "  span CompactAndRefine [cancelled]\n"
        "    generation gpt-4o [cancelled]\n"
    )


# A dispatcher that does not keep its word


class Raises(NullSpanHandler):
    """Somebody else's handler, which fails at every signal."""

    def span_enter(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("enter")

    span_exit = span_drop = span_enter


def test_another_handler_that_fails_costs_us_nothing(spans):
    dispatcher, theirs = get_dispatcher(), Raises()
    dispatcher.span_handlers.insert(0, theirs)
    try:
        assert str(ScriptedModel().complete("?")) == "one two three"
    finally:
        dispatcher.span_handlers.remove(theirs)
    assert outline(spans()) == "generation gpt-4o\n"


def test_a_call_whose_end_is_never_told_ends_at_the_idle_limit(memory, spans, monkeypatch):
    monkeypatch.setenv("IRONSPAN_RUN_IDLE_SECONDS", "1")
    ironspan.init("tests", store=None, exporters=[memory])
    with monkeypatch.context() as patch:
        patch.setattr(Spans, "span_exit", lambda *args, **kwargs: None)
        asyncio.run(_run(Inner(), question="why?"))
    assert len(RUNS) > 0
    deadline = time.monotonic() + 10
    while len(RUNS) and time.monotonic() < deadline:
        RUNS.sweep()
        time.sleep(0.05)
    assert len(RUNS) == 0
    gc.collect()
    assert ironspan.stats()["open_spans"] == 0
    assert "abandoned" in {span.status for span in spans()} <= {"abandoned", "cancelled"}
    assert outline(spans()).startswith("workflow Inner [")


def test_many_runs_given_up_at_once_leave_nothing_open(spans):
    async def run() -> None:
        handlers = [Slow().run() for _ in range(50)]
        tasks = [asyncio.create_task(ScriptedModel(delay=30.0).achat([])) for _ in range(50)]
        await until(lambda: sum(getattr(each, "kind", "") == "generation" for each in RUNS.runs()) == 100)
        for task in tasks:
            task.cancel()
        for handler in handlers:
            await handler.cancel_run()
        await asyncio.gather(*tasks, *handlers, return_exceptions=True)
        await until(lambda: len(RUNS) == 0)

    asyncio.run(run())
    assert outline(spans(), sort=True) == "generation gpt-4o [cancelled]\n" * 50 + SLOW.format("cancelled") * 50
