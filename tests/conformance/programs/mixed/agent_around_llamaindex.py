"""The user's own agent around a LlamaIndex model, twice in threads.

To be seen: each call below the agent that started the threads.
"""

import contextvars
from concurrent.futures import ThreadPoolExecutor

from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("Brest", "Noon.")
p.when("Cork", "One.")


def main() -> None:
    model = OpenAI(model="gpt-4o-mini")

    def ask(place: str) -> str:
        return str(model.complete(place))

    with p.agent("pilot"), ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(contextvars.copy_context().run, ask, place) for place in ("Brest", "Cork")]
        assert [job.result() for job in jobs] == ["Noon.", "One."]
