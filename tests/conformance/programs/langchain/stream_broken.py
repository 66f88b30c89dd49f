"""A stream that goes down in the middle of the answer.

To be seen: the generation failed, and keeps the text that had come.
"""

from httpx import RemoteProtocolError
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("story", p.Answer("Once upon a", breaks=True))


def main() -> None:
    read = []
    try:
        for chunk in ChatOpenAI(model="gpt-4o-mini", max_retries=0).stream("Tell a story", p.config()):
            read.append(chunk.content)
    except RemoteProtocolError:
        if "".join(read) == "Once upon a":
            return
    raise AssertionError("the failure or the text was swallowed")
