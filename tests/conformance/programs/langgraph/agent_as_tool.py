"""An agent that has another agent as a tool.

To be seen: the second agent below the tool that runs it, each agent with its own generations.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conformance import program as p

p.when("report", p.Answer(calls=[p.Call("research", {"question": "whales?"}, id="call_research")]), system="You lead.")
p.when("whales?", "They are mammals.", system="You search.")
p.when("mammals", "Report: mammals.", system="You lead.")


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")
    researcher = create_agent(model, [], system_prompt="You search.", name="researcher")

    @tool
    def research(question: str) -> str:
        """Looks something up."""
        return researcher.invoke({"messages": [("user", question)]})["messages"][-1].content

    manager = create_agent(model, [research], system_prompt="You lead.", name="manager")
    state = manager.invoke({"messages": [("user", "Write a report")]}, p.config())
    assert state["messages"][-1].content == "Report: mammals."
