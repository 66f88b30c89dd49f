"""An asynchronous graph that is cancelled while its node waits for a model, as a web server does when a client leaves.

To be seen: graph, node, the user's span and generation ended, and none of them is a failure.
"""

import asyncio
from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from tests.conformance import program as p

p.when("slow", p.Answer("never", hangs=True))


class State(TypedDict):
    text: str


async def ask(state: State) -> Any:
    with p.span("mine"):
        return {"text": (await ChatOpenAI(model="gpt-4o-mini").ainvoke("a slow one")).content}


async def main() -> None:
    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    task = asyncio.create_task(graph.compile(name="request").ainvoke({"text": ""}, p.config()))
    await asyncio.to_thread(p.arrived, "slow")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
    raise AssertionError("the cancellation was swallowed")
