"""A tool that raises, in a chain that does not catch it.

To be seen: the tool failed and everything above it, with the type of the exception.
"""

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from tests.conformance import program as p


@tool
def divide(a: float, b: float) -> float:
    """Divides a by b."""
    return a / b


def main() -> None:
    chain = RunnableLambda(lambda a: {"a": a, "b": 0.0}) | divide
    try:
        chain.invoke(1.0, p.config(run_name="lesson"))
    except ZeroDivisionError:
        return
    raise AssertionError("the failure was swallowed")
