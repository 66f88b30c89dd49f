"""A streamed answer of which the program reads two words, then drops the stream.

To be seen: the generation ended and is no failure; what had come is kept, what had not is not there.
"""

from contextlib import closing

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("story", p.Answer("Once upon a midnight", hangs=True))


def main() -> None:
    read = ""
    with closing(ChatOpenAI(model="gpt-4o-mini").stream("Tell a story", p.config())) as stream:
        for chunk in stream:
            read += chunk.content
            if read == "Once upon":
                break
