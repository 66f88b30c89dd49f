"""A call of a model that is cancelled while the model thinks; nobody reads its answer.

To be seen: the generation ended, and is no failure; neither is the span that caught it.
"""

import asyncio

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("meaning of life", p.Answer("42", hangs=True))


async def main() -> None:
    with p.span("patience"):
        model = ChatOpenAI(model="gpt-4o-mini")
        task = asyncio.create_task(model.ainvoke("What is the meaning of life?", p.config()))
        await asyncio.to_thread(p.arrived, "meaning of life")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return
    raise AssertionError("the cancellation was swallowed")
