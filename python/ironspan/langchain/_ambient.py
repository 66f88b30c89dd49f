"""The trail that LangChain leaves: which run's code is executing. The core follows it (``src/python/runs/nearest.rs``).

Retrievers set no config around their body. Their run is put into a variable of our own, which counts only while that
run is open; nothing ever has to be reset.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ironspan import _core, _threads, _versions

if TYPE_CHECKING:
    from langchain_core.runnables.config import var_child_runnable_config

    from ironspan._runs import Run
else:
    # Without it, spans of the user hang below the span that is current instead of the run whose code opens them.
    var_child_runnable_config = _versions.take(
        "langchain-core",
        "langchain_core.runnables.config",
        "var_child_runnable_config",
        ContextVar("ironspan_no_config", default=None),
    )

__all__ = ["Carried", "carry", "enter_body", "install", "var_child_runnable_config"]

_body: ContextVar[Any] = ContextVar("ironspan_retriever_body", default=None)


def enter_body(run: Run) -> None:
    """Says that the code which follows in this context belongs to `run`, until `run` ends."""
    _body.set(run.key)


class Carried:
    """A run on its way to another thread: entered there, code of that thread belongs to it as it does here."""

    __slots__ = ("_key", "_token")

    def __init__(self, key: Any) -> None:
        self._key = key
        self._token: Token[Any] | None = None

    def __enter__(self) -> None:
        self._token = _body.set(self._key)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            # A worker thread keeps its context from task to task; the next one is somebody else's.
            _body.reset(self._token)


def carry() -> Carried | None:
    """What to take along into a thread that does not copy the context, if a run's code is executing here."""
    run = _core._innermost_run()
    return None if run is None else Carried(run.key)


def install() -> None:
    """Lets the core follow the trail, and threads take the run along."""
    _core._follow_langchain(var_child_runnable_config, _body)
    _threads.CARRIERS.append(carry)
