"""A model that fails once and is asked again by `with_retry`.

To be seen: both attempts, the first failed; the whole did not fail, because the second made it good.
"""

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("again", p.Answer("busy", status=500), p.Answer("done", usage=p.Usage(input=8, output=1)))


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", max_retries=0)
    stubborn = model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    assert stubborn.invoke("once again", p.config(run_name="stubborn")).content == "done"
