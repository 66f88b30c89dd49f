"""A prompt, a model and a parser, in one chain.

To be seen: the chain, and in it one generation with what was asked, the answer and the tokens.
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("capital of Norway", p.Answer("Oslo, on the fjord", usage=p.Usage(input=14, output=6)))


def main() -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "What is the {what}?")])
    chain = prompt | ChatOpenAI(model="gpt-4o-mini", temperature=0.2) | StrOutputParser()
    assert chain.invoke({"what": "capital of Norway"}, p.config(run_name="geography")) == "Oslo, on the fjord"
