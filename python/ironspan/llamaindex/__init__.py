"""LlamaIndex: every call that its dispatcher announces becomes a span.

    import ironspan

    ironspan.init()
    ironspan.instrument("llamaindex")
    index.as_query_engine().query("...")

Needs ``llama-index-core`` 0.12 or newer. What only the old ``CallbackManager`` tells is recorded as well, once.
"""

from __future__ import annotations

from typing import Any

try:
    import llama_index.core  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "ironspan.llamaindex needs llama-index-core, which is not installed. Install it with: "
        "pip install llama-index-core"
    ) from missing

from ironspan import _versions
from ironspan._guard import harmless
from ironspan.llamaindex import _legacy
from ironspan.llamaindex._events import Events
from ironspan.llamaindex._spans import Spans

__all__ = ["instrument", "uninstrument"]


_versions.check("llama-index-core")


@harmless
def instrument() -> None:
    """Records what LlamaIndex does from now on. The second time does nothing.

    Sets one span handler and one event handler on LlamaIndex's root dispatcher, and wraps four methods of
    ``CallbackManager``, which go on to call its handlers. No return value is replaced but the ``response_gen`` of a
    streaming response, by a generator that yields the same.
    """
    _legacy.install()
    dispatcher = _root()
    if dispatcher is not None and not any(isinstance(handler, Spans) for handler in dispatcher.span_handlers):
        dispatcher.add_span_handler(Spans())
        dispatcher.add_event_handler(Events())


@harmless
def uninstrument() -> None:
    """Takes handlers and wrappers away. Calls that are under way end when LlamaIndex forgets them, as cancelled."""
    _legacy.uninstall()
    dispatcher = _root()
    if dispatcher is None:
        return
    dispatcher.span_handlers[:] = [each for each in dispatcher.span_handlers if not isinstance(each, Spans)]
    dispatcher.event_handlers[:] = [each for each in dispatcher.event_handlers if not isinstance(each, Events)]


def _root() -> Any:
    get = _versions.take("llama-index-core", "llama_index.core.instrumentation", "get_dispatcher", None)
    return None if get is None else get()
