"""An asynchronous batch of three, one of which the model refuses; nothing is around it.

To be seen: three traces. The refused one failed, the other two did not.
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI
from openai import InternalServerError

from tests.conformance import program as p

p.when("first", "one")
p.when("second", p.Answer("no such luck", status=500))
p.when("third", "three")


async def main() -> None:
    chain = (ChatOpenAI(model="gpt-4o-mini", max_retries=0) | StrOutputParser()).with_config(run_name="row")
    answers = await chain.abatch(["first", "second", "third"], p.config(), return_exceptions=True)
    assert answers[0] == "one"
    assert answers[2] == "three"
    assert isinstance(answers[1], InternalServerError)
