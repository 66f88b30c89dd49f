"""LlamaIndex: every call that its dispatcher announces becomes a span.

    import ironspan

    ironspan.init()
    ironspan.instrument("llamaindex")
    index.as_query_engine().query("...")

Needs ``llama-index-core`` 0.12 or newer. What only the old ``CallbackManager`` tells is not seen.
"""

from __future__ import annotations

try:
    # Older versions define it there, newer ones pass it on without saying so to type checkers.
    from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
except ImportError as missing:
    raise ImportError(
        "ironspan.llamaindex needs llama-index-core, which is not installed. Install it with: "
        "pip install llama-index-core"
    ) from missing

from ironspan.llamaindex._events import Events
from ironspan.llamaindex._spans import Spans

__all__ = ["instrument", "uninstrument"]


def instrument() -> None:
    """Records what LlamaIndex does from now on. The second time does nothing.

    Sets one span handler and one event handler on LlamaIndex's root dispatcher; nothing is patched, and no return value
    is replaced but the ``response_gen`` of a streaming response, by a generator that yields the same.
    """
    dispatcher = get_dispatcher()
    if not any(isinstance(handler, Spans) for handler in dispatcher.span_handlers):
        dispatcher.add_span_handler(Spans())
        dispatcher.add_event_handler(Events())


def uninstrument() -> None:
    """Takes the handlers away. Calls that are under way end when LlamaIndex forgets them, as cancelled."""
    dispatcher = get_dispatcher()
    dispatcher.span_handlers[:] = [each for each in dispatcher.span_handlers if not isinstance(each, Spans)]
    dispatcher.event_handlers[:] = [each for each in dispatcher.event_handlers if not isinstance(each, Events)]
