"""A completion model: a text goes in, a text comes out, no messages.

To be seen: a generation with prompt, text and usage like that of a chat model.
"""

from langchain_openai import OpenAI

from tests.conformance import program as p

p.when("The capital of Norway is", p.Answer("Oslo.", usage=p.Usage(input=6, output=2)))


def main() -> None:
    assert OpenAI(model="gpt-3.5-turbo-instruct").invoke("The capital of Norway is", p.config()) == "Oslo."
