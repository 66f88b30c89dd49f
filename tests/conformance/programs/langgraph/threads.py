"""Two conversations with a memory, two questions each, taking turns.

To be seen: four traces, each with the conversation that it belongs to.
"""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from tests.conformance import program as p

for name in ("Ada", "Bob"):
    p.when(f"I am {name}", f"Hello, {name}.")
    p.when(f"Who am I? Not {name}", "Somebody else.")


def main() -> None:
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [], name="host", checkpointer=InMemorySaver())
    for question in ("I am {}", "Who am I? Not {}"):
        for thread, name in (("t-1", "Ada"), ("t-2", "Bob")):
            asked = {"messages": [("user", question.format(name))]}
            agent.invoke(asked, p.config(configurable={"thread_id": thread}))
