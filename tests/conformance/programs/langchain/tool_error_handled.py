"""A tool that raises and is told to answer with the error, so that the model can think of something else.

To be seen: the tool failed, because it did; the chain around it did not.
"""

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("closed today", "Come back tomorrow.")


@tool
def fetch(book: str) -> str:
    """Fetches a book."""
    raise ToolException("the stacks are closed today")


fetch.handle_tool_error = True


def main() -> None:
    def step(book: str) -> str:
        call = {"type": "tool_call", "name": "fetch", "args": {"book": book}, "id": "call_book"}
        message = fetch.invoke(call)
        assert message.status == "error"
        return ChatOpenAI(model="gpt-4o-mini").invoke(f"why: {message.content}").content

    assert RunnableLambda(step).invoke("Moby Dick", p.config(run_name="desk")) == "Come back tomorrow."
