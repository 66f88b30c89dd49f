"""A manager who routes, a researcher who reads notes, a coder who computes; and two reviewers who check the answer.

The agents are LangChain's `create_agent`; the manager reaches the other two through tools. The models play the scripts
below, which is what makes the run the same every time; the numbers in their answers come from the tools.
"""

from __future__ import annotations

import json
import re
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableParallel
from langchain_core.tools import tool
from models import ScriptedChatModel, Turn
from toolbox import coding_tools, research_tools

OLD, NEW = "2.14.0", "2.15.0"

PERMUTATION_TEST = f"""\
before = column("duration_ms", "{OLD}")
after = column("duration_ms", "{NEW}")
observed = percentile(after, 95) - percentile(before, 95)
everything = before + after
reached = 0
for seed in range(400):
    dealt = shuffled(everything, seed)
    gap = percentile(dealt[:len(after)], 95) - percentile(dealt[len(after):], 95)
    reached += gap >= observed
result = {{"difference_ms": round(observed, 1), "p_value": round((reached + 1) / 401, 4)}}
"""

POOL_SIZE = """\
busy = {per_second} * {mean_query_ms} / 1000
result = {{"busy_connections": round(busy, 1), "pool_size": ceil(busy * 1.5)}}
"""


def results(messages: list[BaseMessage], name: str) -> list[Any]:
    """What tool `name` returned in this conversation, in order."""
    found = []
    for message in messages:
        if isinstance(message, ToolMessage) and message.name == name:
            try:
                found.append(json.loads(str(message.content)))
            except ValueError:
                found.append(str(message.content))
    return found


def researcher() -> Any:
    """Answers questions from the notes."""

    def search(messages: list[BaseMessage]) -> Turn:
        return Turn(calls=[("search_notes", {"question": str(messages[-1].content)})])

    def answer(messages: list[BaseMessage]) -> Turn:
        found = results(messages, "search_notes")[-1]
        sources = re.findall(r"\[(.+?): (.+?)\]", found)
        cited = "; ".join(f"{heading} ({source})" for source, heading in sources)
        return Turn(
            "A pool that is too small shows as waiting for a connection while query times stay flat. The floor is "
            f"requests per second times seconds held, with half as much again for headroom. Read in: {cited}."
        )

    model = ScriptedChatModel(model_name="gpt-4o-mini", script=[search, answer])
    prompt = "You answer from the team's notes and name the passages you used."
    return create_agent(model, research_tools(), system_prompt=prompt, name="researcher")


def coder() -> Any:
    """Computes on the measurements. Reads of the warehouse are retried when the connection was reset."""

    def read(messages: list[BaseMessage]) -> Turn:
        return Turn(calls=[("summarise", {"build": OLD})])

    def compare(messages: list[BaseMessage]) -> Turn:
        return Turn(calls=[("summarise", {"build": NEW}), ("run_python", {"program": PERMUTATION_TEST})])

    def size(messages: list[BaseMessage]) -> Turn:
        new = results(messages, "summarise")[-1]
        program = POOL_SIZE.format(per_second=new["per_second"], mean_query_ms=new["mean_query_ms"])
        return Turn(calls=[("run_python", {"program": program})])

    def report(messages: list[BaseMessage]) -> Turn:
        old, new = results(messages, "summarise")
        test, pool = results(messages, "run_python")
        return Turn(json.dumps({"old": old, "new": new, "test": test, "pool": pool}))

    model = ScriptedChatModel(model_name="gpt-4o-mini", script=[read, compare, size, report])
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.05, jitter=False, retry_on=(ConnectionError,))
    prompt = "You compute on request measurements with the tools you have and report numbers as JSON."
    return create_agent(model, coding_tools(), system_prompt=prompt, middleware=[retry], name="coder")


def manager() -> Any:
    """Takes the question, asks the other two, answers."""
    reader, computer = researcher(), coder()

    @tool
    def ask_researcher(question: str) -> str:
        """Ask the researcher what the team's notes say."""
        return str(reader.invoke({"messages": [("user", question)]})["messages"][-1].content)

    @tool
    def ask_coder(task: str) -> str:
        """Ask the coder to compute something on the measurements."""
        return str(computer.invoke({"messages": [("user", task)]})["messages"][-1].content)

    def look_up(messages: list[BaseMessage]) -> Turn:
        return Turn(
            thought="Latency rose with a release that touched the pool. First what the notes say about its symptoms.",
            calls=[("ask_researcher", {"question": "How does a small connection pool show, and what size is needed?"})],
        )

    def measure(messages: list[BaseMessage]) -> Turn:
        return Turn(
            thought="The notes tell waiting from querying. Have both builds compared and the size computed.",
            calls=[("ask_coder", {"task": f"Compare builds {OLD} and {NEW}, test the difference, size the pool."})],
        )

    def answer(messages: list[BaseMessage]) -> Turn:
        found = results(messages, "ask_coder")[-1]
        old, new, test, pool = (found[key] for key in ("old", "new", "test", "pool"))
        return Turn(
            f"The 95th percentile went from {old['p95_ms']} ms to {new['p95_ms']} ms with build {NEW} "
            f"(p = {test['p_value']}). Queries take {new['mean_query_ms']} ms as before ({old['mean_query_ms']} ms), "
            f"but requests now wait {new['mean_pool_wait_ms']} ms for a connection. {pool['busy_connections']} "
            f"connections are busy on average: set the pool to {pool['pool_size']}, one instance first, and keep the "
            f"rollback ready."
        )

    model = ScriptedChatModel(model_name="o4-mini", script=[look_up, measure, answer], max_tokens=2000)
    prompt = "You lead a researcher and a coder. Route each part of the question to the one who can answer it."
    return create_agent(model, [ask_researcher, ask_coder], system_prompt=prompt, name="manager")


def reviewers() -> Runnable[dict[str, str], dict[str, str]]:
    """Two checks of an answer, side by side."""

    def evidence(messages: list[BaseMessage]) -> Turn:
        numbers = re.findall(r"\d+(?:\.\d+)? ms", str(messages[-1].content))
        return Turn(f"supported: {len(numbers)} measurements are given with their units.")

    def safety(messages: list[BaseMessage]) -> Turn:
        answer = str(messages[-1].content)
        careful = "one instance first" in answer and "rollback" in answer
        return Turn(
            "safe: the change starts with one instance and can be undone." if careful else "unsafe: no way back."
        )

    prompt = ChatPromptTemplate.from_messages(
        [("system", "Check the answer for {aspect}. One line."), ("user", "{answer}")]
    )

    def check(name: str, aspect: str, turn: Any) -> Runnable[Any, str]:
        model = ScriptedChatModel(model_name="gpt-4o-mini", script=[turn], max_tokens=100)
        return (prompt.partial(aspect=aspect) | model | StrOutputParser()).with_config(run_name=name)

    return RunnableParallel(
        evidence=check("check_evidence", "evidence", evidence), safety=check("check_safety", "safety", safety)
    ).with_config(run_name="reviewers")


def writer() -> Runnable[dict[str, Any], str]:
    """Turns the answer and its reviews into a note for the channel, as a stream."""

    def note(messages: list[BaseMessage]) -> Turn:
        answer, _, reviews = str(messages[-1].content).partition("\n--\n")
        return Turn(f"Checkout is slow because its connection pool is too small. {answer} Reviewed: {reviews}")

    prompt = ChatPromptTemplate.from_messages([("system", "Write the note."), ("user", "{answer}\n--\n{reviews}")])
    model = ScriptedChatModel(model_name="gpt-4o-mini", script=[note], max_tokens=300)
    return (prompt | model | StrOutputParser()).with_config(run_name="write_note")
