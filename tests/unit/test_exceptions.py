"""Exceptions that leave a span: what is recorded, what they make of its status, and that all of them pass."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import sys
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan, MemoryExporter


def leave(error: BaseException) -> None:
    """Leaves a span by ``error``, which must come through as it is."""
    try:
        with ironspan.span("x"):
            raise error
    except BaseException as caught:
        assert caught is error
    else:
        raise AssertionError("the exception was swallowed")


def recorded(trace: MemoryExporter) -> FinishedSpan:
    (span,) = trace.spans
    return span


def exception(trace: MemoryExporter) -> dict[str, Any]:
    (event,) = recorded(trace).events
    assert event["name"] == "exception"
    attributes: dict[str, Any] = event["attributes"]
    return attributes


class Broken(Exception):
    """Of this module."""


def test_type_message_and_stack_are_recorded(ironspan_trace: MemoryExporter) -> None:
    def inner() -> None:
        raise Broken("wheel")

    with pytest.raises(Broken), ironspan.span("x"):
        inner()
    done = recorded(ironspan_trace)
    name = f"{Broken.__module__}.Broken"
    assert (done.status, done.status_message, done.attributes["error.type"]) == ("error", "wheel", name)
    attributes = exception(ironspan_trace)
    assert attributes["exception.type"] == name
    assert attributes["exception.message"] == "wheel"
    lines = attributes["exception.stacktrace"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "test_exceptions.py" in lines[1]
    assert lines[-2].endswith("in inner")
    assert lines[-1] == f"{name}: wheel"
    assert "ironspan.exception.causes" not in attributes


def test_a_builtin_s_name_has_no_module(ironspan_trace: MemoryExporter) -> None:
    leave(KeyError("k"))
    assert exception(ironspan_trace)["exception.type"] == "KeyError"


def test_an_exception_is_recorded_on_every_span_that_it_leaves(ironspan_trace: MemoryExporter) -> None:
    with pytest.raises(ValueError, match="bad"), ironspan.span("outer"), ironspan.span("inner"):
        raise ValueError("bad")
    assert [span.status for span in ironspan_trace.spans] == ["error", "error"]


def test_an_exception_handled_inside_says_nothing(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x"):
        try:
            raise ValueError("bad")
        except ValueError:
            pass
    assert (recorded(ironspan_trace).status, recorded(ironspan_trace).events) == ("ok", [])


def test_the_chain_of_causes_is_recorded_nearest_first(ironspan_trace: MemoryExporter) -> None:
    with pytest.raises(RuntimeError), ironspan.span("x"):
        try:
            try:
                raise KeyError("root")
            except KeyError:
                raise ValueError("middle")  # noqa: B904
        except ValueError as error:
            raise RuntimeError("top") from error
    attributes = exception(ironspan_trace)
    causes = json.loads(attributes["ironspan.exception.causes"])
    assert [(cause["relation"], cause["type"], cause["message"]) for cause in causes] == [
        ("cause", "ValueError", "middle"),
        ("context", "KeyError", "'root'"),
    ]
    stack = attributes["exception.stacktrace"]
    words = [
        "KeyError: 'root'",
        "During handling of the above exception",
        "ValueError: middle",
        "direct cause of the following exception",
        "RuntimeError: top",
    ]
    places = [stack.index(word) for word in words]
    assert places == sorted(places)


def test_a_suppressed_context_is_left_out(ironspan_trace: MemoryExporter) -> None:
    with pytest.raises(ValueError, match="shown"), ironspan.span("x"):
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None
    attributes = exception(ironspan_trace)
    assert "hidden" not in attributes["exception.stacktrace"]
    assert "ironspan.exception.causes" not in attributes


def test_a_chain_that_bites_its_tail_ends(ironspan_trace: MemoryExporter) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    with ironspan.span("x") as span:
        span.error(first)
    causes = json.loads(exception(ironspan_trace)["ironspan.exception.causes"])
    assert [cause["message"] for cause in causes] == ["second"]


def test_a_very_long_chain_is_bounded(ironspan_trace: MemoryExporter) -> None:
    error = ValueError("0")
    for at in range(1, 1000):
        following = ValueError(str(at))
        following.__cause__ = error
        error = following
    with ironspan.span("x") as span:
        span.error(error)
    causes = json.loads(exception(ironspan_trace)["ironspan.exception.causes"])
    assert causes[0]["message"] == "998"
    assert len(causes) < 32
    # Freed one by one: the interpreter would recurse.
    while error.__cause__ is not None:
        error = error.__cause__  # type: ignore[assignment]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_the_members_of_a_group_are_recorded(ironspan_trace: MemoryExporter) -> None:
    group = ExceptionGroup("two failed", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])  # noqa: F821
    leave(group)
    done = recorded(ironspan_trace)
    assert (done.attributes["error.type"], done.status_message) == ("ExceptionGroup", "two failed (2 sub-exceptions)")
    causes = json.loads(exception(ironspan_trace)["ironspan.exception.causes"])
    assert [(cause["relation"], cause["type"]) for cause in causes] == [
        ("member", "ValueError"),
        ("member", "ExceptionGroup"),
    ]


def test_a_deep_recursion_is_recorded_with_a_bounded_stack(ironspan_trace: MemoryExporter) -> None:
    def down() -> None:
        down()

    with pytest.raises(RecursionError), ironspan.span("x"):
        down()
    attributes = exception(ironspan_trace)
    assert attributes["exception.type"] == "RecursionError"
    lines = attributes["exception.stacktrace"].splitlines()
    assert len(lines) < 110
    assert any(line.startswith("  ... ") and line.endswith(" frames ...") for line in lines)


@pytest.mark.parametrize("raised", [ValueError, RecursionError, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_message_that_cannot_be_made_costs_itself_only(
    raised: type[BaseException], ironspan_trace: MemoryExporter
) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise raised("no")

        __repr__ = __str__

    leave(Unspeakable())
    attributes = exception(ironspan_trace)
    assert attributes["exception.type"].endswith("Unspeakable")
    assert attributes["exception.message"] == "<unreadable message>"
    assert "Unspeakable" in attributes["exception.stacktrace"]


@pytest.mark.parametrize("message", ["", "ünï 😀", "a\ud800b", "line\nbreak", "nul\0nul", "x" * 1_000_000])
def test_any_message_is_recorded(message: str, ironspan_trace: MemoryExporter) -> None:
    leave(ValueError(message))
    text = exception(ironspan_trace)["exception.message"]
    expected = message.replace("\ud800", "\ufffd")
    assert text == expected or (len(text) < 70_000 and expected.startswith(text.removesuffix("...")))


def test_an_exception_with_a_hostile_class_is_survived(ironspan_trace: MemoryExporter) -> None:
    class Hostile(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no " + name)

    leave(Hostile("x"))
    assert recorded(ironspan_trace).status == "error"
    assert recorded(ironspan_trace).attributes["error.type"].endswith("Hostile")


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("stop"), concurrent.futures.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_a_cancellation_is_no_error(error: BaseException, ironspan_trace: MemoryExporter) -> None:
    leave(error)
    done = recorded(ironspan_trace)
    assert (done.status, done.status_message, done.events) == ("cancelled", "", [])
    assert done.attributes["ironspan.status"] == "cancelled"
    assert "error.type" not in done.attributes


def test_a_subclass_of_a_cancellation_is_one(ironspan_trace: MemoryExporter) -> None:
    class Stopped(asyncio.CancelledError):
        pass

    leave(Stopped())
    assert recorded(ironspan_trace).status == "cancelled"


@pytest.mark.parametrize(
    ("code", "status"), [(None, "ok"), (0, "ok"), (1, "error"), ("bad usage", "error"), (False, "ok")]
)
def test_an_exit_is_an_error_when_its_code_says_so(code: Any, status: str, ironspan_trace: MemoryExporter) -> None:
    leave(SystemExit(code))
    assert recorded(ironspan_trace).status == status


def test_a_timeout_is_an_error(ironspan_trace: MemoryExporter) -> None:
    leave(TimeoutError("too slow"))
    assert recorded(ironspan_trace).attributes["error.type"] == "TimeoutError"


def test_nothing_is_swallowed_by_async_with(ironspan_trace: MemoryExporter) -> None:
    failure = ValueError("bad")

    async def main() -> None:
        async with ironspan.span("x"):
            raise failure

    with pytest.raises(ValueError, match="bad") as caught:
        asyncio.run(main())
    assert caught.value is failure
    assert recorded(ironspan_trace).status == "error"


def test_the_exception_is_not_kept_alive(ironspan_trace: MemoryExporter) -> None:
    import gc
    import weakref

    class Held(Exception):
        pass

    error = Held()
    reference = weakref.ref(error)
    with ironspan.span("x") as span:
        span.error(error)
    del error
    gc.collect()
    assert reference() is None


def test_a_timeout_of_asyncio_leaves_a_cancelled_span_below(ironspan_trace: MemoryExporter) -> None:
    async def slow() -> None:
        with ironspan.span("slow"):
            await asyncio.Event().wait()

    async def main() -> None:
        with ironspan.span("caller"):
            await asyncio.wait_for(slow(), 0.01)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert ironspan_trace.find("slow").status == "cancelled"
    assert ironspan_trace.find("caller").status == "error"
