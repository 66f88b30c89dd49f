"""A run is cancelled while a step waits for the model.

To be seen: the run and the model call have ended, as cancelled and not as failures.
"""

import asyncio

from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide", p.Answer("never", hangs=True))


class Tides(Workflow):
    @step
    async def look(self, ev: StartEvent) -> StopEvent:
        with p.span("mine"):
            return StopEvent(result=str(await OpenAI(model="gpt-4o-mini").acomplete("The tide?")))


async def run() -> None:
    handler = Tides().run()
    await asyncio.to_thread(p.arrived, "The tide?")
    await handler.cancel_run()
    await asyncio.gather(handler, return_exceptions=True)


def main() -> None:
    asyncio.run(run())
