"""An agent whose tool asks a person before it acts; resumed, the tool acts.

To be seen: the tool interrupted and not failed in the first run, done in the second, and the agent likewise.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from tests.conformance import program as p

p.when("book", p.Answer(calls=[p.Call("book", {"room": 7}, id="call_book")]))
p.when("room 7: yes", "You have room 7.")


@tool
def book(room: int) -> str:
    """Books a room."""
    return f"room {room}: {interrupt('really?')}"


def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [book], name="porter", checkpointer=InMemorySaver())
    settings = p.config(configurable={"thread_id": "t-7"})
    agent.invoke({"messages": [("user", "Please book a room")]}, settings)
    state = agent.invoke(Command(resume="yes"), settings)
    assert state["messages"][-1].content == "You have room 7."
