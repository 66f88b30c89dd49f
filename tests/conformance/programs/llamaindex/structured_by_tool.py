"""An answer in the shape of a class, by way of a tool that the model has to call.

To be seen: one generation. Neither is the wrapper a second model call, nor is that tool one that the program has.
"""

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from tests.conformance import program as p


class Tide(BaseModel):
    """A high tide."""

    place: str
    hour: int


p.when(
    "high tide", p.Answer(calls=[p.Call("Tide", {"place": "Brest", "hour": 12})], usage=p.Usage(input=70, output=12))
)


def main() -> None:
    model = OpenAI(model="gpt-4-turbo").as_structured_llm(Tide)
    assert model.chat([ChatMessage(role="user", content="The high tide?")]).raw == Tide(place="Brest", hour=12)
