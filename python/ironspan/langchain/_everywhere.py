"""The handler that LangChain adds to every run by itself, for programs that pass no callbacks.

LangChain asks its configure hooks for a handler whenever a run begins. A hook cannot be taken back, so ours stays once
it is there, and its handler listens or not.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ironspan import _versions
from ironspan._guard import harmless
from ironspan.langchain._ambient import var_child_runnable_config
from ironspan.langchain._handler import CallbackHandler

__all__ = ["instrument", "is_recorded", "uninstrument"]


class _Everywhere(CallbackHandler):
    """A handler that can be told not to listen."""

    listens = False

    @property
    def ignore_chain(self) -> bool:
        return not self.listens

    ignore_agent = ignore_chat_model = ignore_custom_event = ignore_llm = ignore_retriever = ignore_retry = ignore_chain


_handler = _Everywhere()
_registered = False


@harmless
def instrument(*, full_state: bool = False) -> None:
    """Records every LangChain and LangGraph run from now on, without callbacks in the program. Twice does nothing more.

    A run that has a handler of ours already is not given another one.

    Args:
        full_state: As for `CallbackHandler`; what the last call says holds.
    """
    global _registered
    _Everywhere.listens = True
    _handler.full_state = full_state
    if not _registered:
        _registered = True
        hook = _versions.take("langchain-core", "langchain_core.tracers.context", "register_configure_hook", None)
        if hook is None:
            return
        # The default holds in every context, of tasks and threads that exist already, too.
        variable: ContextVar[CallbackHandler | None] = ContextVar("ironspan_everywhere", default=_handler)
        hook(variable, inheritable=True, handle_class=CallbackHandler)


def is_recorded(model: Any) -> bool:
    """Whether a call of a model of LangChain would be recorded, if it were made here."""
    if _Everywhere.listens:
        return True
    config = var_child_runnable_config.get() or {}
    for callbacks in (getattr(model, "callbacks", None), config.get("callbacks")):
        handlers = getattr(callbacks, "handlers", callbacks)
        if isinstance(handlers, list) and any(isinstance(handler, CallbackHandler) for handler in handlers):
            return True
    return False


def uninstrument() -> None:
    """Records no further run, unless the program passes a handler."""
    _Everywhere.listens = False
