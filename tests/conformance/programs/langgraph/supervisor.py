"""A supervisor that decides by a `Command` who works next: first a researcher, then a writer, then nobody.

To be seen: three turns of the supervisor with a generation each, and between them the agents in their nodes.
"""

from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from tests.conformance import program as p

p.when("an essay", "research", system="Who is next?")
p.when("an essay", "Kelp grows fast.", system="You research.")
p.when("Kelp grows fast.", "write", system="Who is next?")
p.when("Kelp grows fast.", "An essay on kelp.", system="You write.")
p.when("An essay on kelp.", "done", system="Who is next?")


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")
    agents = {
        "research": create_agent(model, [], system_prompt="You research.", name="researcher"),
        "write": create_agent(model, [], system_prompt="You write.", name="writer"),
    }

    def supervise(state: MessagesState) -> Any:
        said = model.invoke([("system", "Who is next?"), *state["messages"]]).content
        return Command(goto=END if said == "done" else said)

    graph = StateGraph(MessagesState)
    graph.add_node("supervisor", supervise, destinations=("research", "write", END))
    for name, agent in agents.items():
        graph.add_node(name, agent)
        graph.add_edge(name, "supervisor")
    graph.add_edge(START, "supervisor")
    state = graph.compile(name="desk").invoke({"messages": [("user", "Write an essay")]}, p.config())
    assert state["messages"][-1].content == "An essay on kelp."
