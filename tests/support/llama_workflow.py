"""A LlamaIndex workflow of two steps.

In a file of its own because the oldest versions read the types of steps as they stand: there must be no
`from __future__ import annotations` here.
"""

import ironspan
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step

from tests.support.llama import ScriptedModel

__all__ = ["Shop"]


class Found(Event):
    """What the first step hands to the second."""

    text: str


class Shop(Workflow):
    """Two steps, the second with a span of the user's and a model call."""

    @step
    async def look(self, ctx: Context, ev: StartEvent) -> Found:
        return Found(text=ev.topic)

    @step
    async def answer(self, ctx: Context, ev: Found) -> StopEvent:
        with ironspan.span("mine"):
            answer = await ScriptedModel().achat([ChatMessage(role="user", content=ev.text)])
        return StopEvent(result=str(answer.message.content))
