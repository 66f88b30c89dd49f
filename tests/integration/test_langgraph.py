"""LangGraph: nodes, agents, subgraphs, interrupts, and spans that the user opens inside nodes."""

from __future__ import annotations

import asyncio
import operator
import sys
from typing import Annotated, Any, TypedDict

import ironspan
import pytest
from ironspan.langchain import CallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from tests.support.models import FixedChatModel
from tests.support.outline import only, outline


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def config(**more: Any) -> Any:
    return {"callbacks": [CallbackHandler()], **more}


def ask(name: str) -> Any:
    def node(_: State) -> Any:
        with ironspan.span(f"mine {name}"):
            FixedChatModel().invoke(f"from {name}")
        return {"seen": [name]}

    return node


def ask_async(name: str) -> Any:
    async def node(_: State) -> Any:
        async with ironspan.span(f"mine {name}"):
            await FixedChatModel().ainvoke(f"from {name}")
        return {"seen": [name]}

    return node


def fork_and_join(make: Any) -> Any:
    """A and B side by side, then C."""
    graph = StateGraph(State)
    for name in "ABC":
        graph.add_node(name, make(name))
    graph.add_edge(START, "A")
    graph.add_edge(START, "B")
    graph.add_edge(["A", "B"], "C")
    return graph.compile(name="work")


FORK_AND_JOIN = "workflow work\n" + "".join(
    f"  span {name}\n    span mine {name}\n      generation gpt-4o\n" for name in "ABC"
)


def test_own_span_sits_under_its_node_and_the_model_under_the_span(spans):
    fork_and_join(ask).invoke({"seen": []}, config())
    assert outline(spans(), sort=True) == FORK_AND_JOIN
    recorded = spans()
    for name in "ABC":
        mine = next(span for span in recorded if span.name == f"mine {name}")
        call = next(span for span in recorded if span.parent_id == mine.span_id)
        assert f"from {name}" in call.attributes["gen_ai.input.messages"]


#: Before Python 3.11 a task takes no context, and LangGraph runs nodes without their configuration.
needs_task_context = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.create_task(context=) is missing")


@needs_task_context
def test_async_graph_has_the_same_tree(spans):
    asyncio.run(fork_and_join(ask_async).ainvoke({"seen": []}, config()))
    assert outline(spans(), sort=True) == FORK_AND_JOIN


@needs_task_context
def test_sync_nodes_of_an_async_graph_have_the_same_tree(spans):
    asyncio.run(fork_and_join(ask).ainvoke({"seen": []}, config()))
    assert outline(spans(), sort=True) == FORK_AND_JOIN


def test_graph_below_a_span_of_the_user_is_below_it(spans):
    with ironspan.span("request"):
        fork_and_join(ask).invoke({"seen": []}, config())
    assert outline(spans(), sort=True) == "span request\n" + "".join(
        f"  {line}\n" for line in FORK_AND_JOIN.splitlines()
    )


def test_span_held_open_around_a_step_of_the_stream_is_no_parent_of_the_nodes(spans):
    stream = fork_and_join(ask).stream({"seen": []}, config())
    first = next(stream)
    with ironspan.span("consumer"):
        rest = list(stream)
    assert len([first, *rest]) == 3
    recorded = spans()
    assert outline([span for span in recorded if span.name != "consumer"], sort=True) == FORK_AND_JOIN


def test_remote_parent_attached_inside_a_node_is_obeyed(spans):
    remote = ironspan.extract({"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"})

    def node(_: State) -> Any:
        with ironspan.attach(remote), ironspan.span("elsewhere"):
            pass
        with ironspan.span("here"):
            pass
        return {"seen": []}

    graph = StateGraph(State)
    graph.add_node("A", node)
    graph.add_edge(START, "A")
    graph.compile(name="work").invoke({"seen": []}, config())
    recorded = spans()
    assert only(recorded, "span", "elsewhere").trace_id == "0123456789abcdef0123456789abcdef"
    assert only(recorded, "span", "here").parent_id == only(recorded, "span", "A").span_id


def test_node_can_add_to_its_own_span_and_scopes_inside_it_hold(spans):
    def node(_: State) -> Any:
        ironspan.current().set("rows", 3)
        with ironspan.scope(session="s-7"):
            FixedChatModel().invoke("?")
            carrier = ironspan.inject({})
        return {"seen": [carrier["traceparent"]]}

    graph = StateGraph(State)
    graph.add_node("A", node)
    graph.add_edge(START, "A")
    state = graph.compile(name="work").invoke({"seen": []}, config())
    recorded = spans()
    own = only(recorded, "span", "A")
    assert own.attributes["rows"] == 3
    assert own.span_id in state["seen"][0]
    assert only(recorded, "generation").parent_id == own.span_id
    assert only(recorded, "generation").attributes["session.id"] == "s-7"
    assert "session.id" not in own.attributes


def test_subgraph_is_below_its_node(spans):
    inner = StateGraph(State)
    inner.add_node("deep", ask("deep"))
    inner.add_edge(START, "deep")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile(name="inner"))
    outer.add_edge(START, "sub")
    outer.compile(name="outer").invoke({"seen": []}, config())
    assert outline(spans()) == (
        "workflow outer\n"
        "  span sub\n"
        "    span inner\n"
        "      span deep\n"
        "        span mine deep\n"
        "          generation gpt-4o\n"
    )


def test_node_carries_its_place_in_the_graph(spans):
    fork_and_join(ask).invoke({"seen": []}, config(configurable={"thread_id": "t-1"}))
    recorded = spans()
    attributes = only(recorded, "span", "C").attributes
    assert attributes["langgraph.node"] == "C"
    assert attributes["langgraph.step"] == 2
    assert only(recorded, "workflow").attributes["gen_ai.conversation.id"] == "t-1"
    assert not any("langgraph_node" in span.attributes for span in recorded)


def test_agent_told_by_metadata_is_an_agent_and_its_nodes_are_not(spans):
    agent = fork_and_join(ask).with_config(run_name="helper", metadata={"lc_agent_name": "helper"})
    outer = StateGraph(State)
    outer.add_node("helper", lambda state: agent.invoke(state))
    outer.add_edge(START, "helper")
    outer.compile(name="outer").invoke({"seen": []}, config())
    tree = outline(spans(), sort=True)
    assert tree.startswith("workflow outer\n  span helper\n    agent helper\n      span A\n")
    assert tree.count("agent") == 1
    assert only(spans(), "agent").attributes["gen_ai.agent.name"] == "helper"


def test_tool_knows_the_agent_that_runs_it(spans):
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    graph = StateGraph(State)
    graph.add_node("use", lambda _: {"seen": [look.invoke({})]})
    graph.add_edge(START, "use")
    graph.compile(name="watcher").with_config(metadata={"lc_agent_name": "watcher"}).invoke({"seen": []}, config())
    assert outline(spans()) == "agent watcher\n  span use\n    tool look\n"
    assert only(spans(), "tool").attributes["gen_ai.agent.name"] == "watcher"


def test_created_agent_with_a_tool_loop(spans):
    agents = pytest.importorskip("langchain.agents")

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    class Looking(FixedChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[{"type": "function", "function": {"name": tool.name}} for tool in tools])

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if messages[-1].type == "tool":
                return super()._generate(messages)
            self.reply = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "call_1"}])
            answer = super()._generate(messages)
            self.reply = AIMessage("done")
            return answer

    for name, expected in (("scout", "scout"), (None, "LangGraph")):
        agent = agents.create_agent(Looking(), [look], name=name)
        agent.invoke({"messages": [("user", "?")]}, config())
        trace = spans()[-7:]
        assert outline(trace) == (
            f"agent {expected}\n"
            "  span model\n"
            "    generation gpt-4o\n"
            "  span tools\n"
            "    tool look\n"
            "  span model\n"
            "    generation gpt-4o\n"
        )
        assert only(trace, "tool").attributes["gen_ai.tool.call.id"] == "call_1"
        assert only(trace, "tool").attributes["gen_ai.agent.name"] == expected


def test_interrupt_is_no_error_and_the_resumed_run_is_linked(spans):
    def approve(_: State) -> Any:
        return {"seen": [interrupt({"question": "go on?"})]}

    graph = StateGraph(State)
    graph.add_node("approve", approve)
    graph.add_edge(START, "approve")
    compiled = graph.compile(name="approval", checkpointer=InMemorySaver())
    settings = config(configurable={"thread_id": "t-9"})
    compiled.invoke({"seen": []}, settings)
    recorded = spans()
    assert outline(recorded) == "workflow approval [interrupted]\n  span approve [interrupted]\n"
    assert "go on?" in only(recorded, "span", "approve").attributes["output.value"]
    paused = only(recorded, "workflow")

    compiled.invoke(Command(resume="yes"), settings)
    resumed = next(span for span in spans() if span.kind == "workflow" and span.span_id != paused.span_id)
    assert resumed.status == "ok"
    (link,) = resumed.links
    assert link["span_id"] == paused.span_id
    assert link["attributes"]["ironspan.link.role"] == "resumes"

    compiled.invoke({"seen": []}, config(configurable={"thread_id": "t-10"}))
    other = next(span for span in spans() if span.attributes.get("session.id") == "t-10" and span.kind == "workflow")
    assert not other.links


def test_command_to_the_parent_graph_is_no_error(spans):
    inner = StateGraph(State)
    inner.add_node("hand over", lambda _: Command(goto="next", graph=Command.PARENT, update={"seen": ["inner"]}))
    inner.add_edge(START, "hand over")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile(name="inner"))
    outer.add_node("next", lambda _: {"seen": ["next"]})
    outer.add_edge(START, "sub")
    outer.compile(name="outer").invoke({"seen": []}, config())
    assert outline(spans()) == ("workflow outer\n  span sub\n    span inner\n      span hand over\n  span next\n")


def test_failed_node_fails_the_graph_and_leaves_its_sibling_alone(spans):
    def fail(_: State) -> Any:
        raise ValueError("broken")

    graph = StateGraph(State)
    graph.add_node("good", lambda _: {"seen": ["good"]})
    graph.add_node("bad", fail)
    graph.add_edge(START, "good")
    graph.add_edge("good", "bad")
    with pytest.raises(ValueError, match="broken"):
        graph.compile(name="work").invoke({"seen": []}, config())
    assert outline(spans()) == "workflow work [error]\n  span good\n  span bad [error]\n"


def test_stream_of_a_graph_dropped_early_is_cancelled(spans):
    stream = fork_and_join(ask).stream({"seen": []}, config())
    next(stream)
    stream.close()
    assert outline(spans(), sort=True).startswith("workflow work [cancelled]\n")
