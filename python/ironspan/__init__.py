"""ironspan: tracing for LLM agents.

A Rust core, used from Python: spans cost a few microseconds, nothing is lost without being counted, and the tree is
right across threads, tasks and processes.

    import ironspan

    with ironspan.agent("researcher") as agent:
        with ironspan.generation("gpt-4o", provider="openai", messages=messages) as call:
            call.output(answer).usage(input=812, output=96)

Importing does nothing but import: no thread, no file, no socket. The first span reads the configuration from the
environment (see docs/configuration.md), unless ``init()`` was called before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

# The private modules are imported here although the core asks for them only when the first span is made: that may be in
# a thread, and the child of a fork in that moment would wait for ever for the lock of a module half imported.
from ironspan import _hooks, _stream, _threads, exporters  # noqa: F401
from ironspan._core import (
    UNSET,
    Report,
    Span,
    SpanContext,
    __version__,
    agent,
    attach,
    current,
    embedding,
    environment,
    extract,
    flush,
    generation,
    inject,
    retrieval,
    scope,
    shutdown,
    span,
    stats,
    tool,
    workflow,
)
from ironspan._errors import ConfigError, IronspanError, StoreError
from ironspan._init import init
from ironspan._instrument import instrument, uninstrument

__all__ = [
    "UNSET",
    "ConfigError",
    "IronspanError",
    "Report",
    "Span",
    "SpanContext",
    "Store",
    "StoreError",
    "View",
    "__version__",
    "agent",
    "attach",
    "current",
    "embedding",
    "environment",
    "exporters",
    "extract",
    "flush",
    "generation",
    "init",
    "inject",
    "instrument",
    "open_store",
    "retrieval",
    "scope",
    "shutdown",
    "span",
    "stats",
    "tool",
    "uninstrument",
    "view",
    "workflow",
]

if TYPE_CHECKING:
    # A type checker would take any name for one that `__getattr__` finds.
    from ironspan import langchain as langchain
    from ironspan import llamaindex as llamaindex
    from ironspan import testing as testing
    from ironspan._store import Store, open_store
    from ironspan._view import View, view
else:
    #: Submodules that are imported when they are first used: they import frameworks, or are for tests only.
    _LAZY = ("langchain", "llamaindex", "testing")

    #: What reads, which a program that writes spans does not import.
    _READING = {"Store": "_store", "open_store": "_store", "View": "_view", "view": "_view"}

    def __getattr__(name: str) -> object:
        if name in _LAZY:
            return import_module(f"ironspan.{name}")
        if name in _READING:
            return getattr(import_module(f"ironspan.{_READING[name]}"), name)
        raise AttributeError(f"module 'ironspan' has no attribute {name!r}")
