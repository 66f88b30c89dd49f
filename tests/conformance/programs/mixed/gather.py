"""Three model calls in one `asyncio.gather`, each in a span of the user's, below another one.

To be seen: each call below its own span, all three below the outer one.
"""

import asyncio

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

for word in ("alpha", "beta", "gamma"):
    p.when(word, word.upper())


async def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")

    async def ask(word: str) -> str:
        with p.span(f"ask {word}"):
            return str((await model.ainvoke(word, p.config())).content)

    with p.span("crowd"):
        answers = await asyncio.gather(*map(ask, ("alpha", "beta", "gamma")))
    assert answers == ["ALPHA", "BETA", "GAMMA"]
