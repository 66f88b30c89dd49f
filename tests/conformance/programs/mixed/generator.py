"""A decorated generator that streams a model's words; its consumer opens a span of its own between two of them.

To be seen: the generation below the generator's span; the consumer's span beside that, not in it.
"""

from collections.abc import Iterator

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("words", "one two")


@p.traced("producer")
def words() -> Iterator[str]:
    for chunk in ChatOpenAI(model="gpt-4o-mini").stream("words", p.config()):
        if chunk.content:
            yield str(chunk.content)


def main() -> None:
    with p.span("request"):
        stream = words()
        said = next(stream)
        with p.span("consumer"):
            said += "".join(stream)
        assert said == "one two"
