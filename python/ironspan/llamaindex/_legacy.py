"""The old `CallbackManager`: what is told there and nowhere else becomes spans, too.

LlamaIndex has two ways of telling what it does. The dispatcher is the newer one and tells most; some classes, older
packages and components that users wrote tell the manager only. Most classes tell both, so an event is dropped when it
comes from inside the very call that the dispatcher has announced for the same act (`acts_of`), and where an event comes
first and the call after it, the call is not shown (`WRAPPING`).

The manager has a place for handlers. It is not used: a handler in `global_handler` makes LlamaIndex raise when a
program gives one list of handlers to two managers, is written into lists that belong to the program, takes the place of
the one that the program may set, and never reaches managers that exist. Instead four methods of the class are wrapped.
The wrappers call the method with what came and return what it returns; handlers are called as ever.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from llama_index.core.callbacks.base import CallbackManager, EventContext
from llama_index.core.callbacks.schema import LEAF_EVENTS, EventPayload
from llama_index.core.instrumentation.span import active_span_id

import ironspan
from ironspan import Span, _core
from ironspan._guard import harmless
from ironspan._runs import NO_SPAN_ID, RUNS
from ironspan.llamaindex._call import WRAPPING, Call, around, calls, fail, leave, parent_in
from ironspan.llamaindex._legacy_events import NAMES, write_end

__all__ = ["install", "uninstall"]

_LEAVES = frozenset(event.value for event in LEAF_EVENTS)
#: The code that `with manager.event(...)` starts and fails by.
_BLOCK = EventContext.on_start.__code__
_TRACE = CallbackManager.as_trace.__wrapped__.__code__  # type: ignore[attr-defined]
#: An event outside of any trace starts one, which nobody ends.
_STRAY = CallbackManager.on_event_start.__code__

#: The traces that are open in this context, outermost first: their keys, empty for those that are not shown.
_traces: ContextVar[tuple[str, ...]] = ContextVar("ironspan_llamaindex_traces", default=())

#: Whether the wrappers do anything: where somebody has wrapped over them they cannot be taken away.
_on = False


def install() -> None:
    """Wraps the methods, once."""
    global _on
    _on = True
    for name, wrap in _WRAPPERS.items():
        method = getattr(CallbackManager, name)
        if not any(getattr(step, "_ironspan", False) for step in _layers(method)):
            setattr(CallbackManager, name, wrap(method))


def uninstall() -> None:
    """Puts the methods back. Events that are open are recorded to their end where that is still told, else as lost."""
    global _on
    _on = False
    for name in _WRAPPERS:
        method = getattr(CallbackManager, name)
        if getattr(method, "_ironspan", False):
            setattr(CallbackManager, name, method.__wrapped__)


def _layers(method: Any) -> Any:
    while method is not None:
        yield method
        method = getattr(method, "__wrapped__", None)


def _ours(method: Any, wrapper: Any) -> Any:
    wrapped: Any = functools.wraps(method)(wrapper)
    wrapped._ironspan = True
    return wrapped


def _on_event_start(method: Any) -> Any:
    def on_event_start(self: Any, event_type: Any, payload: Any = None, *args: Any, **kwargs: Any) -> Any:
        event_id = method(self, event_type, payload, *args, **kwargs)
        if _on:
            code = sys._getframe(1).f_code
            # What happens in an event that can be a leaf is only known to be inside of it where it is a block.
            _begin(event_type, payload, event_id, enters=code is _BLOCK, from_trace=code is _TRACE)
        return event_id

    return _ours(method, on_event_start)


def _on_event_end(method: Any) -> Any:
    def on_event_end(self: Any, event_type: Any, payload: Any = None, event_id: Any = None, **kwargs: Any) -> Any:
        if event_id is not None:
            _end(f"event-{event_id}", payload)
        return method(self, event_type, payload, event_id, **kwargs)

    return _ours(method, on_event_end)


def _start_trace(method: Any) -> Any:
    def start_trace(self: Any, trace_id: Any = None) -> Any:
        result = method(self, trace_id)
        if _on and trace_id is not None and sys._getframe(1).f_code is not _STRAY:
            _begin_trace(trace_id)
        return result

    return _ours(method, start_trace)


def _end_trace(method: Any) -> Any:
    def end_trace(self: Any, trace_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        if trace_id is not None and (traces := _traces.get()):
            _traces.set(traces[:-1])
            if traces[-1]:
                _end(traces[-1], None)
        return method(self, trace_id, *args, **kwargs)

    return _ours(method, end_trace)


_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "on_event_start": _on_event_start,
    "on_event_end": _on_event_end,
    "start_trace": _start_trace,
    "end_trace": _end_trace,
}


@harmless
def _begin(event_type: Any, payload: Any, event_id: Any, *, enters: bool, from_trace: bool) -> None:
    name = getattr(event_type, "value", event_type)
    above = around(active_span_id.get())
    base = _core._current_span_id()
    if above is not None and name in above.acts and _is_directly_inside(above, base):
        return
    if name == "exception":
        if not from_trace:
            _note(payload, above, base)
        # A trace that an exception leaves says so itself.
        return
    make, what = NAMES.get(name, NAMES[""])(name, payload if isinstance(payload, dict) else {})
    _open(f"event-{event_id}", make, above, base, enters=enters or name not in _LEAVES, what=what)


@harmless
def _begin_trace(trace_id: Any) -> None:
    traces = _traces.get()
    _traces.set((*traces, ""))
    above = around(active_span_id.get())
    base = _core._current_span_id()
    if above is not None and trace_id in above.acts and _is_directly_inside(above, base):
        return
    if any(key and RUNS.get(key) is not None for key in traces):
        # As for handlers: a trace inside of another is a part of it.
        return
    verb = ironspan.workflow if above is None else ironspan.span
    call = _open("", functools.partial(verb, str(trace_id)), above, base, enters=True, what=None)
    if call is not None:
        _traces.set((*traces, str(call.key)))


def _open(
    key: str, make: Callable[..., Span], above: Call | None, base: str, *, enters: bool, what: Any
) -> Call | None:
    """Begins the span of an event, and makes it current where what follows is inside of it."""
    if key and RUNS.get(key) is not None:
        return None
    parent = parent_in(above, base)
    span = make() if parent is None else make(parent=parent)
    if enters:
        span.__enter__()
    else:
        span.start()
    # A trace has no id; its span's is as good.
    call = Call(key or f"trace-{span.span_id}", above.key if above is not None else None, span, base)
    call.kind, call.entered = span.kind, enters
    call.agent = above.agent if above is not None else None
    # An exception that is being handled already is not one that will leave this.
    call.metadata = {"what": what, "handled": sys.exc_info()[1]}
    RUNS.open(call)
    if call.entered and call.kind in ("retrieval", "tool") and span.span_id != NO_SPAN_ID:
        WRAPPING[span.span_id] = call
    return call


@harmless
def _end(key: str, payload: Any) -> None:
    call = calls(key)
    if call is None:
        return
    RUNS.close(key)
    given = payload if isinstance(payload, dict) else {}
    error = sys.exc_info()[1]
    if error is (call.metadata or {}).get("handled"):
        error = None
    try:
        if isinstance(call.span, Span):
            WRAPPING.pop(call.span.span_id, None)
            write_end(call.kind, call.span, given)
        error = given.get(EventPayload.EXCEPTION) or error
    finally:
        leave(call)
        if isinstance(error, BaseException):
            fail(call, error)
        else:
            RUNS.finish(call)


def _note(payload: Any, above: Call | None, base: str) -> None:
    """An exception of which a component tells: an event of the span that it happened in."""
    error = payload.get(EventPayload.EXCEPTION) if isinstance(payload, dict) else None
    around = parent_in(above, base) or ironspan.current()
    if isinstance(around, Span) and around.recording:
        around.event(
            "exception",
            level="error",
            **{"exception.type": type(error).__qualname__, "exception.message": str(error)},
        )
        return
    span = ironspan.span("exception").start()
    span.error(error if isinstance(error, BaseException) else str(error))
    span.end()


def _is_directly_inside(call: Call, base: str) -> bool:
    """Whether nothing else has been opened since that call was entered."""
    if call.entered and isinstance(call.span, Span):
        return call.span.span_id == base
    return call.base == base
