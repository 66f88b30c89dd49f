"""An agent that calls two tools at once, one of which fails and answers with its error.

To be seen: one tool failed, the other did not; the agent did not fail.
"""

from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

CALLS = [p.Call("tides", {"harbour": "Brest"}, id="call_tides"), p.Call("wind", {"harbour": "Brest"}, id="call_wind")]

p.when("sail from", p.Answer(calls=CALLS))
p.when("anemometer", "Better stay.")


@tool
def tides(harbour: str) -> str:
    """Tides of a harbour."""
    return f"ebb in {harbour}"


@tool
def wind(harbour: str) -> str:
    """Wind in a harbour."""
    raise ToolException("the anemometer is broken")


wind.handle_tool_error = True


def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [tides, wind], name="pilot")
    state = agent.invoke({"messages": [("user", "Can I sail from Brest?")]}, p.config())
    assert state["messages"][-1].content == "Better stay."
