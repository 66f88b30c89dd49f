"""Model calls in the threads of a plain `ThreadPoolExecutor`, below a span of the user's.

To be seen: all of them below the span that was open where they were submitted.
"""

from concurrent.futures import ThreadPoolExecutor

from langchain_openai import ChatOpenAI

from tests.conformance import program as p

for word in ("alpha", "beta", "gamma"):
    p.when(word, word.upper())


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")

    def ask(word: str) -> str:
        with p.span(f"ask {word}"):
            return str(model.invoke(word, p.config()).content)

    with p.span("crowd"), ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, ("alpha", "beta", "gamma"))) == ["ALPHA", "BETA", "GAMMA"]
