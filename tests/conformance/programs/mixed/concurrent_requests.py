"""Eight requests at the same time through one chain, each in a span of its own, as a server has them.

To be seen: eight traces, in each the chain and the generation with its own question and answer.
"""

import asyncio

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

for number in range(8):
    p.when(f"question {number}", f"answer {number}")


async def main() -> None:
    async def pause(question: str) -> str:
        await asyncio.sleep(0)
        return question

    chain = RunnableLambda(pause) | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()

    async def request(number: int) -> str:
        with p.span(f"request {number}"):
            return str(await chain.ainvoke(f"question {number}", p.config(run_name="chain")))

    answers = await asyncio.gather(*map(request, range(8)))
    assert answers == [f"answer {number}" for number in range(8)]
