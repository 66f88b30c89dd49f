"""Spans as decorators: one span for each call, whatever kind of function it is.

The wrapper is of the same kind as the function (plain, coroutine, generator, async generator), so that frameworks which
look see no difference; ``functools.wraps`` keeps name, signature and docstring. A generator's span is current only
while the generator runs, never while it is suspended.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from ironspan import _core

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

__all__ = ["bare", "wrap"]


def bare(verb: str, function: Callable[..., Any]) -> Any:
    """``@ironspan.tool`` without parentheses: the function's own name is the span's."""
    name = getattr(function, "__name__", None) or type(function).__name__
    return wrap(getattr(_core, verb)(name), function)


def wrap(template: _core.Span, function: Any) -> Any:
    """Wraps ``function`` so that each call is a span made from ``template``."""
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(wrap(template, function.__func__))
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"a span decorates functions and methods, not {function!r}")
    if inspect.isasyncgenfunction(function):
        return _async_generator(template, function)
    if inspect.isgeneratorfunction(function):
        return _generator(template, function)
    if inspect.iscoroutinefunction(function):
        return _coroutine(template, function)
    return _plain(template, function)


def _plain(template: _core.Span, function: Callable[..., Any]) -> Callable[..., Any]:
    again = template._again

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with again():
            return function(*args, **kwargs)

    return call


def _coroutine(template: _core.Span, function: Callable[..., Any]) -> Callable[..., Any]:
    again = template._again

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with again():
            return await function(*args, **kwargs)

    return call


def _end(span: _core.Span, error: BaseException) -> None:
    """Ends ``span`` because of ``error``, as leaving a ``with`` block by it would."""
    span.__exit__(type(error), error, error.__traceback__)


def _generator(template: _core.Span, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        span = template._again().start()
        step = inner.send
        argument: Any = None
        try:
            while True:
                with _core.attach(span):
                    value = step(argument)
                try:
                    argument = yield value
                    step = inner.send
                except GeneratorExit:
                    with _core.attach(span):
                        inner.close()
                    raise
                except BaseException as error:
                    argument = error
                    step = inner.throw
        except StopIteration as stop:
            span.end()
            return stop.value
        except BaseException as error:
            _end(span, error)
            raise

    return call


def _async_generator(template: _core.Span, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        span = template._again().start()
        step = inner.asend
        argument: Any = None
        try:
            while True:
                with _core.attach(span):
                    value = await step(argument)
                try:
                    argument = yield value
                    step = inner.asend
                except GeneratorExit:
                    with _core.attach(span):
                        await inner.aclose()
                    raise
                except BaseException as error:
                    argument = error
                    step = inner.athrow
        except StopAsyncIteration:
            span.end()
        except BaseException as error:
            _end(span, error)
            raise

    return call
