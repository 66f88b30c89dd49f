"""A LangGraph team: topics are researched side by side, an editor hands over to a writer; ironspan shows who did what.

    python examples/langgraph_team.py

Runs offline: the models play scripts. For real ones, `pip install langchain-openai`, set OPENAI_API_KEY, and let `ask`
call `ChatOpenAI(model="gpt-4o-mini").invoke(prompt)`.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import ironspan
from agents.models import ScriptedChatModel, Turn
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send


class State(TypedDict, total=False):
    """What the nodes share; notes of parallel nodes are joined."""

    subject: str
    topic: str
    notes: Annotated[list[str], operator.add]
    text: str


def ask(prompt: str, reply: str) -> str:
    model = ScriptedChatModel(model_name="gpt-4o-mini", script=[lambda _: Turn(reply)])
    return str(model.invoke(prompt).content)


def plan(state: State) -> dict[str, Any]:
    return {"text": ask(f"Two topics for: {state['subject']}", "sizes, waits")}


def spread(state: State) -> list[Send]:
    """One `research` for each topic, all at once."""
    return [Send("research", {"topic": topic}) for topic in state["text"].split(", ")]


def research(state: State) -> dict[str, Any]:
    # A span of our own: it belongs to the node, and the model call belongs to it.
    with ironspan.span("read", attributes={"topic": state["topic"]}):
        return {"notes": [ask(f"What matters about {state['topic']}?", f"{state['topic']} matter")]}


def edit(state: State) -> Command[Any]:
    chosen = ask(f"Put in order: {state['notes']}", "; ".join(sorted(state["notes"])))
    # The hand-over: from inside the editor's graph to the next agent of the team.
    return Command(goto="writer", update={"text": chosen}, graph=Command.PARENT)


def write(state: State) -> dict[str, Any]:
    return {"text": ask(f"Write: {state['text']}", f"Pools: {state['text']}.")}


def agent(name: str, step: Any) -> Any:
    """A graph of one node. The name in the metadata is what makes its runs an agent's."""
    graph = StateGraph(State).add_node(step.__name__, step).add_edge(START, step.__name__)
    return graph.compile(name=name).with_config(metadata={"agent_name": name})


def team() -> Any:
    graph = StateGraph(State)
    graph.add_node("plan", plan)
    graph.add_node("research", research)
    graph.add_node("editor", agent("editor", edit), destinations=("writer",))
    graph.add_node("writer", agent("writer", write))
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", spread, ["research"])
    graph.add_edge("research", "editor")
    return graph.compile(name="team")


def main() -> None:
    ironspan.init("newsroom", console="tree")
    ironspan.instrument("langchain")

    config = {"configurable": {"thread_id": "issue-12"}}
    text = team().invoke({"subject": "connection pools"}, config)["text"]

    ironspan.shutdown()
    print(f"\n{text}\n")
    counts = ironspan.stats()
    print(
        f"spans: {counts['created']} created = {counts['delivered']} delivered + {counts['rejected']} rejected "
        f"+ {sum(counts['dropped'].values())} dropped + {counts['pending']} pending"
    )


if __name__ == "__main__":
    main()
