"""A step that says how far it is, by LangChain's custom events.

To be seen: the event, at the step that sent it.
"""

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda

from tests.conformance import program as p


def main() -> None:
    def step(pages: int) -> int:
        dispatch_custom_event("progress", {"pages": pages})
        return pages + 1

    assert RunnableLambda(step).invoke(3, p.config(run_name="reader")) == 4
