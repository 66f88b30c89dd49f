"""Branches of an asynchronous `RunnableParallel`, each a step with a span of the user's around its model call.

To be seen: each call below the user's span of its own branch.
"""

from typing import Any

from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("left?", "to the left")
p.when("right?", "to the right")


def side(name: str) -> Any:
    async def step(_: str) -> Any:
        with p.span(f"look {name}"):
            return await ChatOpenAI(model="gpt-4o-mini").ainvoke(f"{name}?")

    return RunnableLambda(step).with_config(run_name=name)


async def main() -> None:
    crossing = RunnableParallel(left=side("left"), right=side("right")).with_config(run_name="crossing")
    answers = await crossing.ainvoke("where?", p.config())
    assert answers["left"].content == "to the left"
