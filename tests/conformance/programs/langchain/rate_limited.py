"""A provider that answers with status 429, and a client that does not try again.

To be seen: the generation failed, with what the provider said.
"""

from langchain_openai import ChatOpenAI
from openai import RateLimitError

from tests.conformance import program as p

p.when("please", p.Answer("twenty requests a minute", status=429))


def main() -> None:
    try:
        ChatOpenAI(model="gpt-4o-mini", max_retries=0).invoke("please", p.config())
    except RateLimitError:
        return
    raise AssertionError("the failure was swallowed")
