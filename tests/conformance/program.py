"""What a program of the suite is given: the tracer's own calls, and the model providers on loopback.

A program imports this module as `p`. It never names a tracer: `p.config()` holds the callbacks that the tracer wants
with a call of LangChain (none, when it sees every run by itself), `p.span()` and `p.agent()` open the user's own spans
in the tracer's own way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.conformance.servers.anthropic import Anthropic
from tests.conformance.servers.http import serve
from tests.conformance.servers.openai import OpenAI
from tests.conformance.servers.script import Answer, Call, Script, Usage
from tests.conformance.tracers import Tracer

__all__ = [
    "Answer",
    "Call",
    "Usage",
    "agent",
    "anthropic_url",
    "arrived",
    "config",
    "handlers",
    "openai_url",
    "span",
    "traced",
    "when",
]

_script = Script()
_tracer: Tracer

#: `when(text, *answers, system="")`: what the models answer to a last message that holds `text`.
when = _script.when
#: `arrived(text)`: waits until a request whose last message holds `text` is at a server.
arrived = _script.arrived
#: The base URLs. They are in the environment as well, so that the providers' packages find them without an argument.
openai_url = ""
anthropic_url = ""


def config(**more: Any) -> Any:
    """The configuration of a LangChain call: what the tracer needs in it, and `more`."""
    callbacks = _tracer.callbacks()
    return {**more, "callbacks": callbacks} if callbacks else more


def handlers() -> list[Any]:
    """The tracer's LangChain handlers, also when it needs none per call; empty when it has no such thing."""
    return _tracer.handlers()


def span(name: str) -> AbstractContextManager[Any]:
    """A span of the user's own around a block of code."""
    return _tracer.span(name)


def traced(name: str) -> Callable[[Any], Any]:
    """A decorator that puts a span of the user's own around each call of a function, generators included."""
    return _tracer.traced(name)


def agent(name: str) -> AbstractContextManager[Any]:
    """A span around an agent that no framework knows; a plain one where the tracer has no other."""
    return _tracer.agent(name)


def _begin(tracer: Tracer) -> None:
    """Starts the providers; called before the program is imported."""
    global _tracer, openai_url, anthropic_url
    _tracer = tracer
    openai_url, anthropic_url = serve(OpenAI, _script) + "/v1", serve(Anthropic, _script)
    os.environ.update(
        OPENAI_API_KEY="sk-none",
        OPENAI_BASE_URL=openai_url,
        OPENAI_API_BASE=openai_url,
        ANTHROPIC_API_KEY="sk-none",
        ANTHROPIC_BASE_URL=anthropic_url,
        ANTHROPIC_API_URL=anthropic_url,
    )
