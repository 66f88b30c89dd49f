"""A model that is overloaded, and another one that answers in its place.

To be seen: the failed generation of the first and the good one of the second; the whole did not fail.
"""

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("anyone", p.Answer("overloaded", status=429), p.Answer("Here.", usage=p.Usage(input=9, output=2)))


def main() -> None:
    first = ChatOpenAI(model="gpt-4o", max_retries=0)
    chain = first.with_fallbacks([ChatAnthropic(model="claude-sonnet-4-5", max_retries=0)])
    assert chain.invoke("anyone there?", p.config(run_name="somebody")).content == "Here."
