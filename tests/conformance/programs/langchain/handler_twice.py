"""The tracer's handler passed with the call and set on the model, beside whatever is instrumented globally.

To be seen: one generation, not two.
"""

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("hello", p.Answer("hello to you", usage=p.Usage(input=5, output=3)))


def main() -> None:
    handlers = p.handlers()
    model = ChatOpenAI(model="gpt-4o-mini", callbacks=handlers)
    assert model.invoke("hello", {"callbacks": handlers}).content == "hello to you"
