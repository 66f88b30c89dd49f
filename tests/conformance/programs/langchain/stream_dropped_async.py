"""An asynchronous stream of a chain, below a span of the user's, dropped after two words.

To be seen: chain and generation ended and are no failures; the text that had come is kept.
"""

from contextlib import aclosing

from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("story", p.Answer("Once upon a midnight", hangs=True))


async def main() -> None:
    chain = ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
    read = ""
    with p.span("bedtime"):
        async with aclosing(chain.astream("Tell a story", p.config(run_name="teller"))) as stream:
            async for text in stream:
                read += text
                if read == "Once upon":
                    break
