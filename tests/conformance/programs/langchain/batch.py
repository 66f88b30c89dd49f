"""A batch of three questions to one chain, below a span of the user's; LangChain runs them in threads.

To be seen: three chains below the span, each with its own question.
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

for colour in ("red", "green", "blue"):
    p.when(colour, f"{colour} it is")


def main() -> None:
    prompt = ChatPromptTemplate.from_template("Which colour is {colour}?")
    chain = (prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()).with_config(run_name="paint")
    with p.span("night shift"):
        answers = chain.batch([{"colour": colour} for colour in ("red", "green", "blue")], p.config())
    assert answers == ["red it is", "green it is", "blue it is"]
