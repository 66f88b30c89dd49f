"""An agent that no framework knows, around a chain of LangChain.

To be seen: the chain below the agent.
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("plan", p.Answer("First, coffee.", usage=p.Usage(input=3, output=4)))


def main() -> None:
    chain = (ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()).with_config(run_name="thought")
    with p.agent("planner"):
        assert chain.invoke("a plan", p.config()) == "First, coffee."
