"""Anthropic's usage, which counts cache reads and writes apart from the input.

To be seen: the input as a total with both in it, and each by itself.
"""

from langchain_anthropic import ChatAnthropic

from tests.conformance import program as p

p.when("chapter", p.Answer("A whale.", usage=p.Usage(input=2500, output=30, cached=2000, cache_write=400)))


def main() -> None:
    answer = ChatAnthropic(model="claude-sonnet-4-5").invoke("This chapter?", p.config())
    assert answer.usage_metadata["input_tokens"] == 2500
