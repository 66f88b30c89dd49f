"""A streamed answer whose usage comes in the last chunk, after the one with the reason for the end.

To be seen: the usage once, not added up over chunks; the answer as one text.
"""

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("count", p.Answer("one two three four", usage=p.Usage(input=21, output=9, cached=16, reasoning=4)))


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", stream_usage=True)
    chunks = [chunk.content for chunk in model.stream("Please count", p.config())]
    assert "".join(chunks) == "one two three four"
