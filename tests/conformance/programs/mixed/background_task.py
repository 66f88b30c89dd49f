"""A request that starts a task in the background and answers before the task is done.

To be seen: the task's span and its model call below the request, though that has ended.
"""

import asyncio

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("summary", "Nothing happened.")


async def main() -> None:
    answered = asyncio.Event()

    async def note() -> str:
        await answered.wait()
        with p.span("note"):
            return str((await ChatOpenAI(model="gpt-4o-mini").ainvoke("a summary", p.config())).content)

    with p.span("request"):
        task = asyncio.create_task(note())
    answered.set()
    assert await task == "Nothing happened."
