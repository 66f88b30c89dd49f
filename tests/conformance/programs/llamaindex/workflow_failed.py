"""The model refuses in a step of a workflow, and the run fails with it.

To be seen: the generation failed; the span of the user's around it says the same.
"""

import asyncio

from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide", p.Answer("no more quota", status=400))


class Tides(Workflow):
    @step
    async def look(self, ev: StartEvent) -> StopEvent:
        with p.span("mine"):
            return StopEvent(result=str(await OpenAI(model="gpt-4o-mini", max_retries=0).acomplete("The tide?")))


async def run() -> None:
    (error,) = await asyncio.gather(Tides().run(), return_exceptions=True)
    assert "no more quota" in str(error)


def main() -> None:
    asyncio.run(run())
