"""The table of the README: groups of programs down, tracers across, passed of total in each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version

from tests.conformance.runner import Outcome
from tests.conformance.tracers import TRACERS

__all__ = ["markdown"]

_TITLES = {"langchain": "LangChain", "langgraph": "LangGraph", "llamaindex": "LlamaIndex", "mixed": "Mixed"}
_FRAMEWORKS = ("langchain-core", "langgraph", "llama-index-core", "langchain-openai", "langchain-anthropic")


def markdown(outcomes: Mapping[str, Sequence[Outcome] | None]) -> str:
    """The table, with a line that says when and with which versions."""
    groups: dict[str, None] = {}
    for done in outcomes.values():
        groups.update(dict.fromkeys(outcome.program.partition("/")[0] for outcome in done or ()))
    heads = [f"{TRACERS[name].title} {TRACERS[name].version or ''}".strip() for name in outcomes]
    rows = [["Programs", *heads], ["---"] * (len(heads) + 1)]
    for group in [*sorted(groups), ""]:
        cells = []
        for name, done in outcomes.items():
            untraced = TRACERS[name].untraced
            own = [
                outcome
                for outcome in done or ()
                if outcome.program.partition("/")[0] in ({group} if group else groups.keys() - untraced)
            ]
            count = f"{sum(outcome.passed for outcome in own)} of {len(own)}"
            cells.append("not installed" if not done else "not traced" if group in untraced else count)
        rows.append([_TITLES.get(group, group) or "All", *cells])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    used = ", ".join(f"{name} {version(name)}" for name in _FRAMEWORKS)
    return "\n".join([*lines, "", f"{date.today().isoformat()}: {used}."])
