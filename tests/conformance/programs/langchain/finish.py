"""An answer that is cut off because it became too long, whole from one provider and streamed from another.

To be seen: why each model stopped, which is not that it was done.
"""

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("pi", p.Answer("3.14159 26535", finish="length"))


def main() -> None:
    with p.span("digits"):
        ChatOpenAI(model="gpt-4o-mini").invoke("All of pi", p.config())
        list(ChatAnthropic(model="claude-sonnet-4-5", max_tokens=64).stream("All of pi", p.config()))
