"""A workflow asks a human by an event and goes on with the event that answers; its events are read meanwhile.

To be seen: the model call of the step after the answer, in the span of the user's, in the same trace.
"""

import asyncio

from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("ada", "Hello, ada!")


class Interview(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> InputRequiredEvent:
        return InputRequiredEvent(prefix="your name?")

    @step
    async def greet(self, ev: HumanResponseEvent) -> StopEvent:
        with p.span("greeting"):
            return StopEvent(result=str(await OpenAI(model="gpt-4o-mini").acomplete(f"Greet {ev.response}")))


async def run() -> None:
    handler, seen = Interview().run(), []
    async for event in handler.stream_events():
        seen.append(type(event).__name__)
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(HumanResponseEvent(response="ada"))
    assert await handler == "Hello, ada!"
    assert seen == ["InputRequiredEvent", "StopEvent"]


def main() -> None:
    with p.span("front desk"):
        asyncio.run(run())
