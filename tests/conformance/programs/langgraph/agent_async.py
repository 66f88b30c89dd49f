"""An asynchronous agent with three calls of one tool at the same time, each with a span of the user's in it.

To be seen: three tool spans, each with its own call id, argument and span.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

CITIES = ("Oslo", "Bergen", "Tromsø")

p.when("compare", p.Answer(calls=[p.Call("weather", {"city": city}, id=f"call_{city}") for city in CITIES]))
p.when("degrees", "Bergen is the warmest.")


@tool
async def weather(city: str) -> str:
    """The weather in a city."""
    with p.span(f"measure {city}"):
        return f"{len(city)} degrees in {city}"


async def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [weather], name="advisor")
    state = await agent.ainvoke({"messages": [("user", "Please compare the weather")]}, p.config())
    assert state["messages"][-1].content == "Bergen is the warmest."
