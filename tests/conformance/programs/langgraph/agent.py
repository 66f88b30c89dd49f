"""An agent made by `create_agent`, with a tool that the model asks for once.

To be seen: the agent under its name; in it two generations and the tool, which carries the id of the call it answers.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("weather in Oslo", p.Answer(calls=[p.Call("weather", {"city": "Oslo"}, id="call_oslo")]))
p.when("4 degrees", p.Answer("Take a coat.", usage=p.Usage(input=40, output=4)))


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"4 degrees in {city}"


def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [weather], name="advisor")
    state = agent.invoke({"messages": [("user", "How is the weather in Oslo?")]}, p.config())
    assert state["messages"][-1].content == "Take a coat."
