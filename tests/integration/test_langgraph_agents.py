"""Agents in LangGraph graphs: which runs are agents, and who hands over to whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ironspan.langchain import CallbackHandler
from ironspan.testing import FinishedSpan
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from tests.support.models import FixedChatModel
from tests.support.outline import only, outline, own_name

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTION: Any = {"messages": [("user", "?")]}


def config(**more: Any) -> Any:
    return {"callbacks": [CallbackHandler()], **more}


class Scripted(FixedChatModel):
    """Answers with one message of its script after the other."""

    script: list[Any]

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.reply = self.script.pop(0)
        return super()._generate(messages)


def saying(*script: Any) -> Any:
    return Scripted(script=[AIMessage(each) if isinstance(each, str) else each for each in script])


def calling(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call {name}"}])


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def react(name: str | None, *script: Any, tools: Any = ()) -> Any:
    """An agent of LangGraph's own, which carries no mark."""
    from langgraph.prebuilt import create_react_agent

    return create_react_agent(saying(*script), list(tools), name=name)


def handovers(spans: list[FinishedSpan]) -> list[tuple[str, str]]:
    """From whom to whom, in order."""
    known = {span.span_id: own_name(span) for span in spans}
    agents = sorted((span for span in spans if span.kind == "agent"), key=lambda span: span.start_ns)
    return [
        (known[link["span_id"]], own_name(span))
        for span in agents
        for link in span.links
        if link["attributes"]["ironspan.link.role"] == "handoff"
    ]


@pytest.mark.parametrize("form", ["sync", "async"])
def test_agent_of_langgraph_is_an_agent(spans, form):
    agent = react("adder", calling("add", a=1, b=2), "three", tools=[add])
    if form == "sync":
        agent.invoke(QUESTION, config())
    else:
        asyncio.run(agent.ainvoke(QUESTION, config()))
    recorded = spans()
    assert only(recorded, "agent").name == "invoke_agent adder"
    assert only(recorded, "tool", "add").attributes["gen_ai.agent.name"] == "adder"
    assert [span.kind for span in recorded if span.parent_id is None] == ["agent"]
    first = min((span for span in recorded if span.name == "call_model"), key=lambda span: span.start_ns)
    node = next(span for span in recorded if span.span_id == first.parent_id)
    assert first.attributes["input.value"] == node.attributes["input.value"]


def test_own_graph_with_the_same_nodes_is_no_agent(spans):
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda _: {"messages": [AIMessage("done")]})
    graph.add_edge(START, "agent")
    graph.compile(name="mine").invoke(QUESTION, config())
    assert outline(spans()) == "workflow mine\n  span agent\n"


def test_agents_in_a_row_hand_over_along_their_edges_only(spans):
    graph = StateGraph(MessagesState)
    for name in ("A", "B", "C", "D"):
        graph.add_node(name, react(name, f"{name} says"))
    graph.add_edge(START, "A")
    graph.add_edge(START, "B")
    graph.add_edge("A", "C")
    graph.add_edge("B", "D")
    graph.compile(name="rows").invoke(QUESTION, config())
    assert sorted(handovers(spans())) == [("A", "C"), ("B", "D")]


def test_agent_that_waits_for_several_is_handed_over_to_by_each(spans):
    graph = StateGraph(MessagesState)
    for name in ("A", "B", "C"):
        graph.add_node(name, react(name, f"{name} says"))
    graph.add_edge(START, "A")
    graph.add_edge(START, "B")
    graph.add_edge(["A", "B"], "C")
    graph.compile(name="join").invoke(QUESTION, config())
    assert sorted(handovers(spans())) == [("A", "C"), ("B", "C")]


def test_hand_over_by_command_goes_where_the_command_goes(spans):
    """Both agents run in one step; only the second one's node sends the third."""
    agents = {name: react(name, f"{name} says") for name in "ABC"}
    graph = StateGraph(MessagesState)
    graph.add_node("A", lambda state: {"messages": agents["A"].invoke(state)["messages"][-1:]})
    graph.add_node(
        "B", lambda state: Command(goto="C", update={"messages": agents["B"].invoke(state)["messages"][-1:]})
    )
    graph.add_node("C", agents["C"])
    graph.add_edge(START, "A")
    graph.add_edge(START, "B")
    graph.compile(name="commands").invoke(QUESTION, config())
    assert handovers(spans()) == [("B", "C")]


def test_agent_called_as_a_tool_takes_no_turn(spans):
    helper = react("helper", "help", "more help")

    @tool
    def ask(question: str) -> str:
        """Ask."""
        return str(helper.invoke({"messages": [("user", question)]})["messages"][-1].content)

    react("boss", calling("ask", question="1"), calling("ask", question="2"), "done", tools=[ask]).invoke(
        QUESTION, config()
    )
    recorded = spans()
    assert [own_name(span) for span in recorded if span.kind == "agent"].count("helper") == 2
    assert handovers(recorded) == []


def test_supervisor(spans):
    create_supervisor = pytest.importorskip("langgraph_supervisor").create_supervisor
    create_agent = pytest.importorskip("langchain.agents").create_agent
    team = create_supervisor(
        [
            create_agent(saying(calling("add", a=1, b=2), "three"), [add], name="maths"),
            react("research", "found"),
        ],
        model=saying(calling("transfer_to_maths"), calling("transfer_to_research"), "done"),
    )
    team.compile(name="team").invoke(QUESTION, config())
    recorded = spans()
    assert handovers(recorded) == [
        ("supervisor", "maths"),
        ("maths", "supervisor"),
        ("supervisor", "research"),
        ("research", "supervisor"),
    ]
    assert {span.status for span in recorded} == {"ok"}
    known = {span.span_id: span for span in recorded}
    for span in recorded:
        if span.kind == "tool":
            assert span.attributes["gen_ai.agent.name"] == {"add": "maths"}.get(own_name(span), "supervisor")
        if span.kind == "agent":
            assert own_name(known[span.parent_id or ""]) in ("supervisor", "call_agent")


@pytest.mark.parametrize("form", ["sync", "async"])
def test_swarm(spans, form):
    swarm = pytest.importorskip("langgraph_swarm")
    create_agent = pytest.importorskip("langchain.agents").create_agent
    to = {name: swarm.create_handoff_tool(agent_name=name) for name in ("alice", "bob")}
    alice = create_agent(saying(calling("transfer_to_bob"), "back again"), [add, to["bob"]], name="alice")
    bob = create_agent(saying(calling("transfer_to_alice")), [to["alice"]], name="bob")
    graph = swarm.create_swarm([alice, bob], default_active_agent="alice").compile(checkpointer=InMemorySaver())
    settings = config(configurable={"thread_id": f"swarm {form}"})
    if form == "sync":
        graph.invoke(QUESTION, settings)
    else:
        asyncio.run(graph.ainvoke(QUESTION, settings))
    recorded = spans()
    assert handovers(recorded) == [("alice", "bob"), ("bob", "alice")]
    assert {span.status for span in recorded} == {"ok"}
    transfers = [span for span in recorded if span.kind == "tool"]
    assert [span.attributes["gen_ai.agent.name"] for span in transfers] == ["alice", "bob"]
    assert "Successfully transferred" in transfers[0].attributes["gen_ai.tool.call.result"]
