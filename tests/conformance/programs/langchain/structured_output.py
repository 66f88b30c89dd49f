"""An answer that has to fit a schema, which the model gives as a call of a tool.

To be seen: one generation and no tool, because none is run.
"""

from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.conformance import program as p


class City(BaseModel):
    """A city."""

    name: str
    people: int


p.when("largest", p.Answer(calls=[p.Call("City", {"name": "Oslo", "people": 700_000}, id="call_city")]))


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini").with_structured_output(City, method="function_calling")
    city = model.invoke("Which is the largest?", p.config(run_name="city"))
    assert city == City(name="Oslo", people=700_000)
