"""A message of two parts, a question and a picture.

To be seen: both parts in the input of the generation; the picture may be a reference to where it is kept.
"""

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

p.when("in the picture", "One pixel.")


def main() -> None:
    message = HumanMessage(
        [
            {"type": "text", "text": "What is in the picture?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        ]
    )
    assert ChatOpenAI(model="gpt-4o").invoke([message], p.config()).content == "One pixel."
