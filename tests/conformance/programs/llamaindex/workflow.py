"""A workflow that sends out three events, works on them side by side, and collects what came of them.

To be seen: each step below the run, the user's span in its own step, and the model call in that span.
"""

import asyncio

from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

PLACES = ("Bergen", "Brest", "Cork")
for place in PLACES:
    p.when(place, f"Noon in {place}.")


class Asked(Event):
    place: str


class Answered(Event):
    text: str


class Tides(Workflow):
    @step
    async def hand_out(self, ctx: Context, ev: StartEvent) -> Asked | None:
        for place in PLACES:
            ctx.send_event(Asked(place=place))
        return None

    @step(num_workers=3)
    async def look(self, ctx: Context, ev: Asked) -> Answered:
        with p.span(ev.place):
            return Answered(text=str(await OpenAI(model="gpt-4o-mini").acomplete(ev.place)))

    @step(num_workers=1)
    async def collect(self, ctx: Context, ev: Answered) -> StopEvent | None:
        found = ctx.collect_events(ev, [Answered] * len(PLACES))
        return StopEvent(result=sorted(each.text for each in found)) if found else None


async def run() -> None:
    with p.span("harbours"):
        assert await Tides().run() == [f"Noon in {place}." for place in PLACES]


def main() -> None:
    asyncio.run(run())
