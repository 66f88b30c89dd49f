"""Two models asked at the same time by a `RunnableParallel`.

To be seen: both generations below the one chain, each with its own question and answer.
"""

from langchain_core.runnables import RunnableParallel
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("tides", p.Answer("The moon.", usage=p.Usage(input=7, output=3)))


def main() -> None:
    both = RunnableParallel(short=ChatOpenAI(model="gpt-4o-mini"), long=ChatOpenAI(model="gpt-4o"))
    answers = both.invoke("What makes the tides?", p.config(run_name="both"))
    assert answers["short"].content == answers["long"].content == "The moon."
