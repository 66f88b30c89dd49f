"""OpenAI's usage with cached input and reasoning output.

To be seen: the cached tokens within the input and the reasoning ones within the output, added to neither.
"""

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("puzzle", p.Answer("Seven.", usage=p.Usage(input=1200, output=300, cached=1024, reasoning=256)))


def main() -> None:
    answer = ChatOpenAI(model="o4-mini").invoke("A puzzle", p.config())
    assert answer.usage_metadata["input_token_details"]["cache_read"] == 1024
