"""Two agents: the first hands over to the second, which answers.

To be seen: a turn for each agent, by its name, with its own model calls and the hand-over as the first one's tool.
"""

import asyncio

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when(
    "tide",
    p.Answer(calls=[p.Call("handoff", {"to_agent": "pilot", "reason": "tides"}, id="call_over")]),
    system="clerk",
)
p.when("", "At noon.", system="pilot")


async def run() -> None:
    model = OpenAI(model="gpt-4o-mini")
    clerk = FunctionAgent(
        name="clerk",
        description="asks",
        system_prompt="You are the clerk.",
        llm=model,
        tools=[],
        can_handoff_to=["pilot"],
    )
    pilot = FunctionAgent(name="pilot", description="knows", system_prompt="You are the pilot.", llm=model, tools=[])
    team = AgentWorkflow(agents=[clerk, pilot], root_agent="clerk")
    handler = team.run("When is high tide?")
    events = [event async for event in handler.stream_events()]
    assert str(await handler) == "At noon."
    assert events


def main() -> None:
    with p.span("harbour"):
        asyncio.run(run())
