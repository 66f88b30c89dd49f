"""What of a LangGraph state the spans of its nodes show: news by default, all of it on request."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import operator
import pickle
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from ironspan import langchain
from ironspan.langchain import CallbackHandler, _state
from ironspan.testing import FinishedSpan
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from tests.support.models import chain
from tests.support.outline import only

UNCHANGED = "ironspan.state.unchanged"


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    gc.collect()
    assert _state._graphs == {}


def config(**more: Any) -> Any:
    return {"callbacks": [CallbackHandler()], **more}


def given(span: FinishedSpan) -> Any:
    return json.loads(span.attributes["input.value"])


def returned(span: FinishedSpan) -> Any:
    return json.loads(span.attributes["output.value"])


def texts(messages: list[Any]) -> list[str]:
    return [message["content"] for message in messages]


class Chat(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]
    topic: str
    turns: Annotated[int, operator.add]


def line(state: Any, **nodes: Any) -> Any:
    """A graph whose nodes follow one another."""
    graph = StateGraph(state)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph


def say(text: str) -> Any:
    return lambda _: {"messages": [AIMessage(text)], "turns": 1}


HISTORY = [HumanMessage(f"question {number}") for number in range(12)]


def test_a_node_shows_what_no_step_before_it_was_given(spans):
    graph = line(Chat, one=say("first"), two=say("second"), three=lambda _: {"topic": "new"}, four=lambda _: None)
    graph.compile(name="talk").invoke({"messages": HISTORY, "topic": "old", "turns": 0}, config())
    recorded = spans()
    one, two, three, four = (only(recorded, "span", name) for name in ("one", "two", "three", "four"))
    assert (given(one), one.attributes[UNCHANGED]) == ({}, ["messages", "topic", "turns"])
    assert texts(given(two)["messages"]) == ["first"]
    assert (given(two)["turns"], two.attributes[UNCHANGED]) == (1, ["messages[:12]", "topic"])
    assert texts(given(three)["messages"]) == ["second"]
    assert three.attributes[UNCHANGED] == ["messages[:13]", "topic"]
    assert (given(four), four.attributes[UNCHANGED]) == ({"topic": "new"}, ["messages", "turns"])
    assert texts(returned(two)["messages"]) == ["second"]
    assert returned(three) == {"topic": "new"}
    whole = only(recorded, "workflow")
    assert UNCHANGED not in whole.attributes
    assert len(json.loads(whole.attributes["gen_ai.input.messages"])) == 12
    assert returned(whole)["topic"] == "new"


def test_a_long_history_is_recorded_once_and_not_once_for_every_node(spans):
    nodes = {f"node{number}": say(f"answer {number}") for number in range(20)}
    line(Chat, **nodes).compile().invoke({"messages": HISTORY, "topic": "", "turns": 0}, config())
    inputs = "".join(str(span.attributes.get("input.value")) for span in spans() if span.kind == "span")
    assert "question 3" not in inputs
    assert all(inputs.count(f'"answer {number}"') == 1 for number in range(19))


def test_full_state_on_request(spans):
    graph = line(Chat, one=say("first"), two=say("second")).compile()
    for handler in (
        CallbackHandler(full_state=True),
        copy.deepcopy(CallbackHandler(full_state=True)),
        pickle.loads(pickle.dumps(CallbackHandler(full_state=True))),
    ):
        graph.invoke({"messages": HISTORY, "topic": "", "turns": 0}, {"callbacks": [handler]})
        two = only(spans()[-3:], "span", "two")
        assert len(given(two)["messages"]) == 13
        assert UNCHANGED not in two.attributes


def test_full_state_for_every_run_of_the_program(spans):
    graph = line(Chat, one=say("first"), two=say("second")).compile()
    try:
        for full, count in ((True, 13), (False, 1)):
            langchain.instrument(full_state=full)
            graph.invoke({"messages": HISTORY, "topic": "", "turns": 0})
            assert len(given(only(spans()[-3:], "span", "two"))["messages"]) == count
    finally:
        langchain.uninstrument()


def test_first_node_of_a_thread_shows_the_history_that_the_call_did_not_bring(spans):
    graph = line(Chat, one=say("first"), two=say("second")).compile(checkpointer=InMemorySaver())
    settings = config(configurable={"thread_id": "state-1"})
    for text in ("hello", "again"):
        graph.invoke({"messages": [HumanMessage(text)], "topic": "t", "turns": 0}, settings)
    one, two = (only(spans()[-3:], "span", name) for name in ("one", "two"))
    assert texts(given(one)["messages"]) == ["hello", "first", "second", "again"]
    assert texts(given(two)["messages"]) == ["first"]
    assert two.attributes[UNCHANGED] == ["messages[:4]", "topic"]


def test_resumed_run_shows_what_it_resumes_with(spans):
    graph = line(Chat, one=say("first"), ask=lambda _: {"topic": interrupt("topic?")}, two=say("second"))
    compiled = graph.compile(checkpointer=InMemorySaver())
    settings = config(configurable={"thread_id": "state-2"})
    compiled.invoke({"messages": [HumanMessage("hello")], "topic": "old", "turns": 0}, settings)
    compiled.invoke(Command(resume="new"), settings)
    resumed = spans()[-3:]
    assert given(only(resumed, "workflow")) == {"resume": "new"}
    assert texts(given(only(resumed, "span", "ask"))["messages"]) == ["hello", "first"]
    two = only(resumed, "span", "two")
    assert (given(two), two.attributes[UNCHANGED]) == ({"topic": "new"}, ["messages", "turns"])


def test_command_is_its_update_and_where_it_goes(spans):
    graph = StateGraph(Chat)
    graph.add_node("one", lambda _: Command(update={"topic": "new"}, goto="two"), destinations=("two",))
    graph.add_node("two", lambda _: [Command(update={"turns": 1}), Command(goto=Send("three", {"topic": "sent"}))])
    graph.add_node("three", lambda state: {"topic": state["topic"]})
    graph.add_edge(START, "one")
    graph.compile().invoke({"messages": [], "topic": "", "turns": 0}, config())
    recorded = spans()
    assert returned(only(recorded, "span", "one")) == {"update": {"topic": "new"}, "goto": "two"}
    assert returned(only(recorded, "span", "two")) == [
        {"update": {"turns": 1}},
        {"goto": {"node": "three", "arg": {"topic": "sent"}}},
    ]
    assert given(only(recorded, "span", "three")) == {"topic": "sent"}


def test_tool_that_returns_a_command_shows_its_message(spans):
    @tool
    def hand_over(call: Annotated[str, InjectedToolCallId]) -> Any:
        """Hand over."""
        return Command(goto="next", update={"messages": [ToolMessage("handed over", tool_call_id=call)]})

    hand_over.invoke({"name": "hand_over", "args": {}, "id": "call_1", "type": "tool_call"}, config())
    assert "handed over" in only(spans(), "tool").attributes["gen_ai.tool.call.result"]


def test_conditional_edge_shows_what_its_node_wrote_and_the_edge_that_it_chose(spans):
    graph = StateGraph(Chat)
    graph.add_node("one", say("first"))
    graph.add_node("two", say("second"))
    graph.add_edge(START, "one")
    graph.add_conditional_edges("one", lambda state: "two" if state["turns"] == 1 else "one")
    graph.compile().invoke({"messages": HISTORY, "topic": "", "turns": 0}, config())
    recorded = spans()
    one = only(recorded, "span", "one")
    edge = next(span for span in recorded if span.parent_id == one.span_id)
    assert texts(given(edge)["messages"]) == ["first"]
    assert (given(edge)["turns"], edge.attributes[UNCHANGED]) == (1, ["messages[:12]", "topic"])
    assert edge.attributes["output.value"] == "two"
    assert texts(given(only(recorded, "span", "two"))["messages"]) == ["first"]


class Notes(TypedDict):
    plan: list[str]
    notes: Annotated[list[Any], operator.add]


def test_what_was_sent_is_shown_whole_and_the_join_shows_every_branch(spans):
    graph = StateGraph(Notes)
    graph.add_node("plan", lambda _: {"plan": ["a", "b", "c"]})
    graph.add_node("work", lambda state: {"notes": [state["item"] * 2]})
    graph.add_node("join", lambda state: {"plan": []})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges(
        "plan", lambda state: [Send("work", {"item": item, "plan": state["plan"]}) for item in state["plan"]], ["work"]
    )
    graph.add_edge("work", "join")
    graph.compile().invoke({"plan": [], "notes": ["old"]}, config())
    recorded = spans()
    sent = [given(span) for span in recorded if span.name == "work"]
    assert sorted(each["item"] for each in sent) == ["a", "b", "c"]
    assert all(each["plan"] == ["a", "b", "c"] for each in sent)
    join = only(recorded, "span", "join")
    assert given(join) == {"plan": ["a", "b", "c"], "notes": ["aa", "bb", "cc"]}
    assert join.attributes[UNCHANGED] == ["notes[:1]"]


@pytest.mark.parametrize("form", ["sync", "async"])
def test_branches_side_by_side_are_given_the_same_news(spans, form):
    graph = StateGraph(Notes)
    graph.add_node("first", lambda _: {"notes": ["from first"]})
    graph.add_edge(START, "first")
    for name in "ABCD":
        graph.add_node(name, lambda _, name=name: {"notes": [f"from {name}"]})
        graph.add_edge("first", name)
    graph.add_node("last", lambda _: {"plan": ["done"]})
    graph.add_edge(list("ABCD"), "last")
    start = {"plan": [], "notes": ["old"]}
    if form == "sync":
        graph.compile().invoke(start, config())
    else:
        asyncio.run(graph.compile().ainvoke(start, config()))
    recorded = spans()
    for name in "ABCD":
        branch = only(recorded, "span", name)
        assert (given(branch), branch.attributes[UNCHANGED]) == ({"notes": ["from first"]}, ["plan", "notes[:1]"])
    last = only(recorded, "span", "last")
    assert sorted(given(last)["notes"]) == [f"from {name}" for name in "ABCD"]


def test_graph_inside_a_node_keeps_its_own_account(spans):
    inner = line(Chat, deep=say("deep"), deeper=say("deeper")).compile(name="inner")
    graph = line(Chat, before=say("before"), sub=inner, after=lambda _: None)
    graph.compile(name="outer").invoke({"messages": HISTORY, "topic": "", "turns": 0}, config())
    recorded = spans()
    assert texts(given(only(recorded, "span", "sub"))["messages"]) == ["before"]
    assert len(given(only(recorded, "span", "inner"))["messages"]) == 13
    assert given(only(recorded, "span", "deep")) == {}
    assert texts(given(only(recorded, "span", "deeper"))["messages"]) == ["deep"]
    after = only(recorded, "span", "after")
    assert texts(given(after)["messages"]) == ["deep", "deeper"]
    assert after.attributes[UNCHANGED][0] == "messages[:13]"


@dataclass
class Record:
    name: str
    parts: Annotated[list[Any], operator.add] = field(default_factory=list)


class Form(BaseModel):
    name: str
    parts: Annotated[list[Any], operator.add] = []


@pytest.mark.parametrize("kind", [Record, Form])
def test_states_that_are_objects(spans, kind):
    graph = line(kind, one=lambda _: {"parts": ["one"]}, two=lambda _: {"name": "new"}, three=lambda _: None)
    graph.compile().invoke(kind(name="old", parts=["zero"]), config())
    recorded = spans()
    one, two, three = (only(recorded, "span", name) for name in ("one", "two", "three"))
    assert (given(one), one.attributes[UNCHANGED]) == ({}, ["name", "parts"])
    assert (given(two), two.attributes[UNCHANGED]) == ({"parts": ["one"]}, ["name", "parts[:1]"])
    assert (given(three), three.attributes[UNCHANGED]) == ({"name": "new"}, ["parts"])


def test_state_that_is_a_list(spans):
    graph = line(Annotated[list[Any], add_messages], one=lambda _: [AIMessage("first")], two=lambda _: [])
    graph.compile().invoke([HumanMessage("hello")], config())
    recorded = spans()
    one, two = (only(recorded, "span", name) for name in ("one", "two"))
    assert (given(one), one.attributes[UNCHANGED]) == ([], ["[:1]"])
    assert (texts(given(two)), two.attributes[UNCHANGED]) == (["first"], ["[:1]"])


def test_changes_inside_a_list_are_shown_from_the_first_one_on(spans):
    history = [HumanMessage("a", id="1"), HumanMessage("b", id="2"), HumanMessage("c", id="3")]

    def append_in_place(state: Any) -> Any:
        state["plan"].append("grown")
        return {"topic": "t"}

    class Planned(Chat):
        plan: list[str]

    nodes = {"edit": lambda _: {"messages": [HumanMessage("B", id="2")]}, "grow": append_in_place}
    line(Planned, **nodes, last=lambda _: None).compile().invoke(
        {"messages": history, "topic": "", "turns": 0, "plan": ["step"]}, config()
    )
    recorded = spans()
    grow, last = (only(recorded, "span", name) for name in ("grow", "last"))
    assert texts(given(grow)["messages"]) == ["B", "c"]
    assert grow.attributes[UNCHANGED] == ["messages[:1]", "topic", "turns", "plan"]
    assert (given(last)["plan"], "plan[:1]" in last.attributes[UNCHANGED]) == (["grown"], True)


def test_functions_of_the_functional_interface_show_their_arguments(spans):
    @task
    def double(x: int) -> int:
        return x * 2

    @entrypoint()
    def work(given: dict[str, int]) -> int:
        return double(given["x"]).result()

    assert work.invoke({"x": 4}, config()) == 8
    recorded = spans()
    assert given(only(recorded, "span", "work")) == {"x": 4}
    assert given(only(recorded, "span", "double")) == {"x": 4}
    assert not any(UNCHANGED in span.attributes for span in recorded)


def test_chains_that_are_no_graphs_and_steps_inside_nodes_show_all_they_are_given(spans):
    question = {"question": "?", "history": HISTORY}
    chain().invoke(question, config())
    whole = spans()
    assert not any(UNCHANGED in span.attributes for span in whole)
    assert len(given(only(whole, "span", "ChatPromptTemplate"))["history"]) == 12

    passed = RunnableLambda(lambda state: {**state, "more": 1}) | RunnableLambda(lambda state: {"topic": "new"})
    inner = RunnableLambda(lambda state: dict(state)) | RunnableLambda(lambda state: {"topic": "new"})
    nodes = {"steps": passed, "calls": lambda state: inner.invoke(state)}
    line(Chat, **nodes).compile().invoke({"messages": HISTORY, "topic": "", "turns": 0}, config())
    recorded = spans()[len(whole) :]
    steps = only(recorded, "span", "steps")
    first, second = (span for span in recorded if span.parent_id == steps.span_id)
    assert len(given(first)["messages"]) == 12
    assert (given(second)["more"], len(given(second)["messages"])) == (1, 12)
    below = only(recorded, "span", "RunnableSequence")
    calls = [below, *(span for span in recorded if span.parent_id == below.span_id)]
    assert [len(given(span)["messages"]) for span in calls] == [12, 12, 12]


def test_states_are_let_go_with_their_run(memory):
    class Held(list):  # type: ignore[type-arg]
        pass

    def forget(_: Any) -> Any:
        raise ValueError("broken")

    died: list[weakref.ref[Any]] = []
    for node in (lambda _: None, forget):
        state = {"plan": Held(["x"]), "notes": []}
        died.append(weakref.ref(state["plan"]))
        try:
            line(Notes, one=lambda _: {"notes": [1]}, node=node).compile().invoke(state, config())
        except ValueError as error:
            error.__traceback__ = None
        del state
    stream = (
        line(Notes, one=lambda _: {"notes": [1]}, two=lambda _: None)
        .compile()
        .stream({"plan": Held(["x"]), "notes": []}, config())
    )
    next(stream)
    assert _state._graphs
    stream.close()
    del stream
    gc.collect()
    assert _state._graphs == {}
    assert [each() for each in died] == [None, None]


@pytest.mark.parametrize("form", ["sync", "async"])
def test_state_of_a_run_that_brings_no_end_is_let_go_with_it(memory, form):
    stream: Any
    graph = line(Notes, one=lambda _: {"notes": [1]}, two=lambda _: None).compile()
    if form == "sync":
        stream = graph.stream({"plan": [], "notes": []}, config())
        next(stream)
        assert len(_state._graphs) == 1
    else:

        async def step() -> None:
            dropped = graph.astream({"plan": [], "notes": []}, config())
            await anext(dropped)
            assert len(_state._graphs) == 1

        asyncio.run(step())
        stream = None
    del stream
    gc.collect()
    assert _state._graphs == {}
