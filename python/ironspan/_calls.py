"""One call of a model that two frameworks see is one generation.

A model class of one framework may be a wrapper around a model of the other; both announce the call then. Where the
wrapper can be seen to hold the other model, it counts as passing the call on, and the generation is that of the model
which is really asked. Where it cannot, the wrapper's span is there first: the call inside gets no span of its own, and
what it knows better (model, answer, tokens, time of the first chunk) is written on the wrapper's.

A framework says in the context of the code that asks which of its calls is under way. The mark needs no resetting: it
counts only while that call is open, has said nothing, and has not been answered from inside.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any

from ironspan._runs import RUNS, Run

__all__ = ["answered", "asks", "holds", "join", "take_answered", "unanswered", "wrapper"]

_asking: ContextVar[tuple[str, Hashable] | None] = ContextVar("ironspan_asking", default=None)
#: Calls inside wrappers, and the wrapper's call for each.
_joined: OrderedDict[Hashable, Hashable] = OrderedDict()
#: Calls of wrappers that have their answer.
_answered: OrderedDict[Hashable, int | None] = OrderedDict()
_MOST = 1_024


def asks(framework: str, run: Run) -> None:
    """Says that the code which follows in this context is a model call of that framework, until `run` ends."""
    _asking.set((framework, run.key))


def wrapper(framework: str) -> Run | None:
    """The open call of another framework's model inside which this framework is asked now."""
    asking = _asking.get()
    if asking is None or asking[0] == framework:
        return None
    run = RUNS.get(asking[1])
    # Once a stream has begun, the code that follows may be its reader's.
    if run is None or not run.owns or run.chunks or getattr(run, "streams", False) or run.key in _answered:
        return None
    return run


def join(inner: Hashable, outer: Run) -> None:
    """Notes that the call under the key `inner` is the one that `outer` stands for."""
    _joined[inner] = outer.key
    while len(_joined) > _MOST:
        _joined.popitem(last=False)


def answered(inner: Hashable) -> Run | None:
    """The open call that `inner`, which has been answered, was joined to.

    The answer belongs on the span of that call, and what its own framework makes of it later does not.
    """
    outer = RUNS.get(_joined.pop(inner, None)) if _joined else None
    if outer is not None:
        _answered[outer.key] = None
        while len(_answered) > _MOST:
            _answered.popitem(last=False)
    return outer


def unanswered(inner: Hashable) -> None:
    """Notes that the call under `inner` failed, or hands out a stream whose end the framework around it tells."""
    _joined.pop(inner, None)


def take_answered(key: Hashable) -> bool:
    """Whether the call that ends has been answered from inside."""
    return bool(_answered) and _answered.pop(key, _MOST) is None


def holds(instance: Any, base: type) -> Any:
    """A value of class `base` among the fields of a model object, if there is one."""
    for place in ("__dict__", "__pydantic_private__"):
        fields = getattr(instance, place, None)
        if isinstance(fields, dict):
            for value in fields.values():
                # By type: a value of the user's may pretend, or raise when it is asked.
                if issubclass(type(value), base):
                    return value
    return None
