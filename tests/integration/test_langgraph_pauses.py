"""LangGraph runs that stop on the way, go on later, or are tried again."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from ironspan import langchain
from ironspan.langchain import CallbackHandler
from ironspan.testing import FinishedSpan
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from tests.support.models import FixedChatModel
from tests.support.outline import only, outline

AGAIN = {"initial_interval": 0.001, "jitter": False}


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def config(thread: str | None = None) -> Any:
    return {"callbacks": [CallbackHandler()], "configurable": {"thread_id": thread} if thread else {}}


def write(name: str) -> Any:
    return lambda _: {"seen": [name]}


def roles(span: FinishedSpan) -> list[tuple[str, str]]:
    return [(link["attributes"]["ironspan.link.role"], link["span_id"]) for link in span.links]


def questions(names: str = "AB") -> Any:
    """A and B ask, side by side with F, which does not."""
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, lambda _, name=name: {"seen": [interrupt(f"{name}?")]})
        graph.add_edge(START, name)
    graph.add_node("F", write("F"))
    graph.add_edge(START, "F")
    return graph.compile(name="ask", checkpointer=InMemorySaver())


@pytest.mark.parametrize("form", ["invoke", "ainvoke", "stream"])
def test_several_interrupts_side_by_side_are_one_pause(spans, form):
    graph = questions()

    def run(given: Any) -> None:
        if form == "invoke":
            graph.invoke(given, config("pauses-1"))
        elif form == "ainvoke":
            asyncio.run(graph.ainvoke(given, config("pauses-1")))
        else:
            assert list(graph.stream(given, config("pauses-1"), stream_mode=["updates", "values"]))

    run({"seen": []})
    first = spans()
    assert outline(first, sort=True) == (
        "workflow ask [interrupted]\n  span A [interrupted]\n  span B [interrupted]\n  span F\n"
    )
    asked = graph.get_state({"configurable": {"thread_id": "pauses-1"}}).interrupts
    run(Command(resume={each.id: "yes" for each in asked}))
    second = spans()[len(first) :]
    assert outline(second, sort=True) == "workflow ask\n  span A\n  span B\n"
    assert roles(only(second, "workflow")) == [("resumes", only(first, "workflow").span_id)]


def test_new_question_to_a_paused_conversation_resumes_nothing(spans):
    graph = questions()
    graph.invoke({"seen": []}, config("pauses-2"))
    first = len(spans())
    graph.invoke({"seen": ["other"]}, config("pauses-2"))
    assert not only(spans()[first:], "workflow").links


def test_pause_of_a_graph_inside_a_chain_is_resumed_inside_another(spans):
    graph = questions("A")
    asks = RunnableLambda(lambda _: str(graph.invoke({"seen": []})))
    answers = RunnableLambda(lambda _: str(graph.invoke(Command(resume="yes"))))
    asks.with_config(run_name="asks").invoke("?", config("pauses-3"))
    first = spans()
    assert only(first, "span", "ask").status == "interrupted"
    answers.with_config(run_name="answers").invoke("!", config("pauses-3"))
    second = spans()[len(first) :]
    assert roles(only(second, "span", "ask")) == [("resumes", only(first, "span", "ask").span_id)]
    assert not only(second, "workflow", "answers").links


def stopping(**where: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("A", write("A"))
    graph.add_node("B", write("B"))
    graph.add_edge(START, "A")
    graph.add_edge("A", "B")
    return graph.compile(name="stops", checkpointer=InMemorySaver(), **where)


@pytest.mark.parametrize("where", [{"interrupt_before": ["B"]}, {"interrupt_after": ["A"]}])
@pytest.mark.parametrize("everywhere", [False, True])
def test_breakpoint_is_a_pause(spans, where, everywhere):
    graph = stopping(**where)
    settings: Any = {"configurable": {"thread_id": f"pauses-4-{everywhere}-{where}"}}
    if everywhere:
        langchain.instrument()
    else:
        settings["callbacks"] = [CallbackHandler()]
    try:
        graph.invoke({"seen": []}, settings)
        graph.update_state(settings, {"seen": ["edited"]})
        graph.invoke(None, settings)
    finally:
        langchain.uninstrument()
    recorded = spans()
    assert outline(recorded) == "workflow stops [interrupted]\n  span A\nworkflow stops\n  span B\n"
    paused, resumed = (span for span in recorded if span.kind == "workflow")
    assert roles(resumed) == [("resumes", paused.span_id)]


def test_asynchronous_graph_goes_on_from_its_breakpoint(spans):
    graph = stopping(interrupt_before=["B"])

    async def both() -> None:
        await graph.ainvoke({"seen": []}, config("pauses-5"))
        await graph.ainvoke(None, config("pauses-5"))

    asyncio.run(both())
    paused, resumed = (span for span in spans() if span.kind == "workflow")
    assert roles(resumed) == [("resumes", paused.span_id)]


def test_run_that_failed_and_goes_on_is_linked(spans):
    tries: list[int] = []

    def fails_once(_: State) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("broken")
        return {"seen": ["mended"]}

    graph = StateGraph(State)
    graph.add_node("A", fails_once)
    graph.add_edge(START, "A")
    compiled = graph.compile(name="work", checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="broken"):
        compiled.invoke({"seen": []}, config("pauses-6"))
    assert compiled.invoke(None, config("pauses-6")) == {"seen": ["mended"]}
    failed, resumed = (span for span in spans() if span.kind == "workflow")
    assert (failed.status, resumed.status) == ("error", "ok")
    assert roles(resumed) == [("resumes", failed.span_id)]


def test_interrupt_inside_a_subgraph_pauses_all_above_it(spans):
    inner = StateGraph(State)
    inner.add_node("ask", lambda _: {"seen": [interrupt("?")]})
    inner.add_edge(START, "ask")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile(name="inner"))
    outer.add_edge(START, "sub")
    graph = outer.compile(name="outer", checkpointer=InMemorySaver())
    graph.invoke({"seen": []}, config("pauses-7"))
    tree = "workflow outer{0}\n  span sub{0}\n    span inner{0}\n      span ask{0}\n"
    first = spans()
    assert outline(first) == tree.format(" [interrupted]")
    graph.invoke(Command(resume="yes"), config("pauses-7"))
    assert outline(spans()[len(first) :]) == tree.format("")


def flaky(failures: int) -> Any:
    tries: list[int] = []

    def node(*_: Any) -> Any:
        tries.append(1)
        if len(tries) <= failures:
            raise ConnectionError("not yet")
        return {"seen": [FixedChatModel().invoke("?").content]}

    return node


@pytest.mark.parametrize("full_state", [False, True])
def test_attempts_at_a_node_are_numbered(spans, full_state):
    graph = StateGraph(State)
    for name, failures in (("steady", 0), ("flaky", 2)):
        graph.add_node(name, flaky(failures), retry_policy=RetryPolicy(max_attempts=3, **AGAIN))
        graph.add_edge(START, name)
    graph.compile(name="work").invoke({"seen": []}, {"callbacks": [CallbackHandler(full_state=full_state)]})
    recorded = spans()
    attempts = sorted((span for span in recorded if span.name == "flaky"), key=lambda span: span.start_ns)
    assert [span.status for span in attempts] == ["error", "error", "ok"]
    assert [span.attributes.get("ironspan.attempt") for span in attempts] == [None, 2, 3]
    assert [span.attributes["input.value"] for span in attempts[1:]] == [attempts[0].attributes["input.value"]] * 2
    assert "ironspan.attempt" not in only(recorded, "span", "steady").attributes
    assert only(recorded, "workflow").status == "ok"


def test_tasks_of_the_functional_interface(spans):
    tried = flaky(1)

    @task(retry_policy=RetryPolicy(max_attempts=2, **AGAIN))
    def fetch(x: int) -> Any:
        return tried(x)["seen"]

    @task
    def double(x: int) -> int:
        return x * 2

    @entrypoint(checkpointer=InMemorySaver())
    def work(given: dict[str, int]) -> Any:
        doubled = double(given["x"])
        return [*fetch(given["x"]).result(), doubled.result(), interrupt("go on?")]

    work.invoke({"x": 4}, config("pauses-8"))
    first = spans()
    assert outline(first, sort=True) == (
        "workflow LangGraph [interrupted]\n"
        "  span work [interrupted]\n"
        "    span double\n"
        "    span fetch\n"
        "      generation gpt-4o\n"
        "    span fetch [error]\n"
    )
    attempts = sorted((span for span in first if span.name == "fetch"), key=lambda span: span.start_ns)
    assert [span.attributes.get("ironspan.attempt") for span in attempts] == [None, 2]
    assert work.invoke(Command(resume="yes"), config("pauses-8"))[1:] == [8, "yes"]
    # What its tasks returned is kept; none of them runs again.
    assert outline(spans()[len(first) :]) == "workflow LangGraph\n  span work\n"
