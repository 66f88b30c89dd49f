"""A streamed answer of Anthropic's: thinking, text, and a call of a tool whose arguments come in pieces.

To be seen: one generation; the usage of the first and of the last message are not added up; the call has its id.
"""

from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool

from tests.conformance import program as p

p.when(
    "tides",
    p.Answer(
        "Let me look.",
        thinking="They want a table.",
        calls=[p.Call("tides", {"harbour": "Brest"}, id="toolu_1")],
        usage=p.Usage(input=90, output=25, cached=64),
    ),
)


@tool
def tides(harbour: str) -> str:
    """Tides of a harbour."""
    return harbour


def main() -> None:
    model = ChatAnthropic(
        model="claude-sonnet-4-5", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048
    ).bind_tools([tides])
    whole = None
    for chunk in model.stream("The tides?", p.config()):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls[0]["args"] == {"harbour": "Brest"}
