"""An agent whose messages are streamed token by token, with a tool call whose arguments come in pieces.

To be seen: the tree of an agent that is not streamed; each generation once, with its usage and whole text.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("weather in Oslo", p.Answer(calls=[p.Call("weather", {"city": "Oslo"}, id="call_oslo")], usage=p.Usage(30, 12)))
p.when("4 degrees", p.Answer("Take a warm coat.", usage=p.Usage(input=40, output=4)))


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"4 degrees in {city}"


def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini", stream_usage=True), [weather], name="advisor")
    question = {"messages": [("user", "How is the weather in Oslo?")]}
    tokens = [chunk.content for chunk, _ in agent.stream(question, p.config(), stream_mode="messages")]
    assert "".join(tokens).endswith("Take a warm coat.")
