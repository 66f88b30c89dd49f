"""Two agents that hand the conversation over to each other: a tool of the first sends a `Command` to the parent graph.

To be seen: both agents below the graph, the handing over tool in the first; nothing failed, though the framework steers
with an exception here.
"""

from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command

from tests.conformance import program as p

p.when("a refund", p.Answer(calls=[p.Call("to_billing", id="call_over")]), system="You greet.")
p.when("handed over", "The refund is on its way.", system="You refund.")


@tool
def to_billing(state: Annotated[Any, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
    """Hands over to billing."""
    done = ToolMessage("handed over", name="to_billing", tool_call_id=tool_call_id)
    return Command(goto="office", graph=Command.PARENT, update={"messages": [*state["messages"], done]})


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")
    graph = StateGraph(MessagesState)
    front = create_agent(model, [to_billing], system_prompt="You greet.", name="front")
    graph.add_node("reception", front, destinations=("office",))
    graph.add_node("office", create_agent(model, [], system_prompt="You refund.", name="billing"))
    graph.add_edge(START, "reception")
    state = graph.compile(name="swarm").invoke({"messages": [("user", "I want a refund")]}, p.config())
    assert state["messages"][-1].content == "The refund is on its way."
