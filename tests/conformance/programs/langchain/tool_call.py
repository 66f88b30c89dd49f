"""A tool run by hand with the call that the model asked for, its result sent back to the model.

To be seen: the tool between the two generations, with the id of the call that it answers.
"""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("divide", p.Answer(calls=[p.Call("divide", {"a": 12, "b": 4}, id="call_div")]))
p.when("3.0", "It is three.")


@tool
def divide(a: float, b: float) -> float:
    """Divides a by b."""
    return a / b


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini").bind_tools([divide])
    with p.span("lesson"):
        messages = [HumanMessage("Please divide 12 by 4")]
        messages.append(model.invoke(messages, p.config()))
        messages.append(divide.invoke(messages[-1].tool_calls[0], p.config()))
        assert model.invoke(messages, p.config()).content == "It is three."
