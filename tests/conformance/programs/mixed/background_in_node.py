"""A node that leaves a task in the background; the task asks its model after the graph has ended.

To be seen: the task's span and generation below the node all the same, in one trace.
"""

import asyncio
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("later", "Filed.")


class State(TypedDict):
    done: bool


async def main() -> None:
    ended = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def file(config: RunnableConfig) -> Any:
        await ended.wait()
        with p.span("filing"):
            return await ChatOpenAI(model="gpt-4o-mini").ainvoke("for later", config)

    async def leave(state: State, config: RunnableConfig) -> Any:
        tasks.append(asyncio.create_task(file(config)))
        return {"done": True}

    graph = StateGraph(State)
    graph.add_node("leave", leave)
    graph.add_edge(START, "leave")
    await graph.compile(name="office").ainvoke({"done": False}, p.config())
    ended.set()
    assert (await tasks[0]).content == "Filed."
