"""A streamed answer is left after its first word.

To be seen: the generation is cancelled, and keeps what came.
"""

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("story", p.Answer("Once upon a time", hangs=True))


def main() -> None:
    stream = OpenAI(model="gpt-4o-mini").stream_chat([ChatMessage(role="user", content="Tell a story")])
    said = ""
    for chunk in stream:
        said += chunk.delta or ""
        if said == "Once upon":
            break
    stream.close()
