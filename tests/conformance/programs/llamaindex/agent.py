"""An agent that calls a tool and answers, its model streamed. The tool opens a span of the user's.

To be seen: the agent by its name; the tool with arguments, result and the id that the model gave the call.
"""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("weather in Oslo", p.Answer(calls=[p.Call("weather", {"city": "Oslo"}, id="call_oslo")]))
p.when("4 degrees", "Take a coat.")


def weather(city: str) -> str:
    """The weather in a city."""
    with p.span("station"):
        return f"4 degrees in {city}"


async def run() -> None:
    agent = FunctionAgent(
        name="advisor",
        description="advises",
        tools=[FunctionTool.from_defaults(weather)],
        llm=OpenAI(model="gpt-4o-mini"),
    )
    assert str(await agent.run("The weather in Oslo?")) == "Take a coat."


def main() -> None:
    asyncio.run(run())
