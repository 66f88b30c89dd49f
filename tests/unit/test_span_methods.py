"""The methods of a span: what each writes, that they chain, and what comes too late."""

from __future__ import annotations

import collections
import datetime
import json
import types
from collections.abc import Callable
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan, ManualClock, MemoryExporter


def recorded(trace: MemoryExporter) -> FinishedSpan:
    (span,) = trace.spans
    return span


def calls(span: ironspan.Span, target: ironspan.Span) -> list[Callable[[], Any]]:
    """One call of every method that writes."""
    return [
        lambda: span.set("k", 1),
        lambda: span.update({"k": 1}),
        lambda: span.input("i"),
        lambda: span.output("o"),
        lambda: span.event("e", level="debug", k=1),
        lambda: span.error("message"),
        lambda: span.error(ValueError("x")),
        lambda: span.tag("t", k="v"),
        lambda: span.link(target),
        lambda: span.usage(input=1),
        lambda: span.cost(total=1),
        lambda: span.finish("stop"),
        lambda: span.documents([]),
    ]


def test_every_method_that_writes_returns_the_span(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("target") as target, ironspan.span("x") as span:
        assert all(call() is span for call in calls(span, target))


def test_the_last_value_of_an_attribute_counts_and_its_place_is_the_first(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x", attributes={"a": 1}) as span:
        span.set("b", 2).set("a", 3).update({"c": 4, "b": 5}).input("first").input("second")
    attributes = recorded(ironspan_trace).attributes
    assert {key: attributes[key] for key in "abc"} == {"a": 3, "b": 5, "c": 4}
    assert attributes["input.value"] == "second"


@pytest.mark.parametrize("key", [5, None, 1.5, b"k", ("a",)])
def test_a_key_that_is_no_text_becomes_text(key: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        span.set(key, "value").set("neighbour", 1)
    attributes = recorded(ironspan_trace).attributes
    assert attributes["neighbour"] == 1
    assert "value" in attributes.values()
    assert all(isinstance(name, str) for name in attributes)


def test_an_empty_key_is_counted_as_dropped(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        span.set("", 1)
    done = recorded(ironspan_trace)
    assert done.dropped_attributes == 1
    assert done.attributes == {"ironspan.kind": "span"}


def test_events_keep_order_time_level_and_attributes(ironspan_trace: MemoryExporter) -> None:
    with ManualClock(1_000_000_000) as clock, ironspan.span("x") as span:
        span.event("first")
        clock.advance(1.5)
        span.event("second", level="warning", name="an attribute", n=1, nested={"a": [1]})
    first, second = recorded(ironspan_trace).events
    assert (first["name"], first["time_ns"], first["attributes"]) == ("first", 1_000_000_000, {})
    assert (second["name"], second["time_ns"]) == ("second", 2_500_000_000)
    assert second["attributes"] == {
        "ironspan.level": "warning",
        "name": "an attribute",
        "n": 1,
        "nested": '{"a":[1]}',
    }


def test_tags_add_up_each_once(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x", tags=("a", "b")) as span:
        span.tag("b", "c", run=7).tag(d=True)
    assert recorded(ironspan_trace).attributes["ironspan.tags"] == ["a", "b", "c", "run=7", "d=true"]


def test_a_link_takes_a_span_a_context_or_a_traceparent(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("target") as target:
        pass
    ironspan_trace.clear()
    remote = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with ironspan.span("x") as span:
        span.link(target).link(target.context, role="retry").link(remote, "cause")
    links = recorded(ironspan_trace).links
    assert [link["span_id"] for link in links] == [target.span_id, target.span_id, "b7ad6b7169203331"]
    assert [link["attributes"].get("ironspan.link.role") for link in links] == [None, "retry", "cause"]
    assert links[2]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert links[2]["flags"] & 0x300 == 0x300


@pytest.mark.parametrize("target", [None, 7, "garbage", object(), {}])
def test_a_link_to_nothing_is_counted_and_left_out(target: Any, ironspan_trace: MemoryExporter) -> None:
    before = ironspan.stats()["internal_errors"]
    with ironspan.span("x") as span:
        span.link(target)
    assert recorded(ironspan_trace).links == []
    assert ironspan.stats()["internal_errors"] == before + 1


def test_usage_adds_up_key_by_key_and_the_last_one_counts(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        span.usage(input=1, output=2).usage(output=7, reasoning=3).usage(input=None)
    attributes = recorded(ironspan_trace).attributes
    assert attributes["gen_ai.usage.input_tokens"] == 1
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 3


@pytest.mark.parametrize("count", ["many", -1, float("nan"), float("inf"), object(), [], 2**80])
def test_a_count_that_is_none_is_left_out(count: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        span.usage(input=count, output=2)
    attributes = recorded(ironspan_trace).attributes
    assert "gen_ai.usage.input_tokens" not in attributes
    assert attributes["gen_ai.usage.output_tokens"] == 2


def test_finish_reasons_add_up_one_per_choice(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m") as span:
        span.finish("end_turn").finish(None).finish("max_tokens")
    assert recorded(ironspan_trace).attributes["gen_ai.response.finish_reasons"] == ["stop", "length"]


def test_an_error_message_makes_the_status_and_no_exception(ironspan_trace: MemoryExporter) -> None:
    with ironspan.tool("t") as span:
        span.error("no such page")
    done = recorded(ironspan_trace)
    assert (done.status, done.status_message) == ("error", "no such page")
    assert done.attributes["error.type"] == "_OTHER"
    assert done.events == []


def test_an_exception_object_makes_the_status_and_an_event(ironspan_trace: MemoryExporter) -> None:
    with ironspan.tool("t") as span:
        span.error(KeyError("page"))
    done = recorded(ironspan_trace)
    assert (done.status, done.status_message, done.attributes["error.type"]) == ("error", "'page'", "KeyError")
    (event,) = done.events
    assert (event["name"], event["attributes"]["exception.type"]) == ("exception", "KeyError")


def test_identity_is_readable_while_open_and_after(ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x")
    assert not span.recording
    span.start()
    assert span.recording
    assert (len(span.trace_id), len(span.span_id)) == (32, 16)
    assert int(span.trace_id, 16)
    assert int(span.span_id, 16)
    context = span.context
    assert (context.trace_id, context.span_id, context.sampled, context.remote) == (
        span.trace_id,
        span.span_id,
        True,
        False,
    )
    assert context.traceparent is not None
    assert context.traceparent.startswith(f"00-{span.trace_id}-{span.span_id}-")
    assert span.trace_id in repr(span)
    identity = (span.trace_id, span.span_id)
    span.end()
    assert not span.recording
    assert (span.trace_id, span.span_id) == identity
    done = recorded(ironspan_trace)
    assert (done.trace_id, done.span_id) == identity


def test_calls_after_the_end_are_counted_and_change_nothing(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("target") as target:
        pass
    span = ironspan.span("x").start()
    span.end()
    ironspan_trace.clear()
    for call in calls(span, target):
        before = ironspan.stats()["late_calls"]
        assert call() is span
        assert ironspan.stats()["late_calls"] == before + 1
    assert ironspan_trace.spans == []


def test_ending_twice_counts_a_late_call_and_exports_once(ironspan_trace: MemoryExporter) -> None:
    before = ironspan.stats()["late_calls"]
    with ironspan.span("x") as span:
        span.end()
        span.end()
    assert len(ironspan_trace.spans) == 1
    assert ironspan.stats()["late_calls"] == before + 2
    assert not ironspan.current().recording


def test_explicit_times_are_unix_nanoseconds(ironspan_trace: MemoryExporter) -> None:
    ironspan.span("x").start(1_000).end(5_000)
    done = recorded(ironspan_trace)
    assert (done.start_ns, done.end_ns) == (1_000, 5_000)


def test_an_end_before_the_start_is_the_start(ironspan_trace: MemoryExporter) -> None:
    ironspan.span("x").start(time=5_000).end(time=1_000)
    done = recorded(ironspan_trace)
    assert (done.start_ns, done.end_ns) == (5_000, 5_000)


@pytest.mark.parametrize("time", [-1, 2**64, 1.5, "now", datetime.datetime(2020, 1, 1), object()])
def test_a_time_that_is_none_counts_as_not_given(time: Any, ironspan_trace: MemoryExporter) -> None:
    with ManualClock(7_000_000_000):
        ironspan.span("x").start(time).end(time)
        done = recorded(ironspan_trace)
    assert (done.start_ns, done.end_ns) == (7_000_000_000, 7_000_000_000)


def test_input_and_output_of_a_plain_span_keep_their_form(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x", input=[1, "two", None]) as span:
        span.output("text")
    attributes = recorded(ironspan_trace).attributes
    assert json.loads(attributes["input.value"]) == [1, "two", None]
    assert attributes["input.mime_type"] == "application/json"
    assert (attributes["output.value"], attributes["output.mime_type"]) == ("text", "text/plain")


class Headers:
    """A mapping of somebody's own, as HTTP libraries have them."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> str:
        return key.upper()


class Unreadable(Headers):
    def __getitem__(self, key: str) -> str:
        raise RuntimeError(key)


@pytest.mark.parametrize(
    "mapping",
    [types.MappingProxyType({"a": "A", "b": "B"}), collections.UserDict(a="A", b="B"), Headers()],
    ids=lambda mapping: type(mapping).__name__,
)
def test_attributes_may_be_any_mapping(mapping: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x", attributes=mapping):
        pass
    with ironspan.span("y") as span:
        span.update(mapping)
    for done in ironspan_trace.spans:
        assert (done.attributes["a"], done.attributes["b"]) == ("A", "B")


@pytest.mark.parametrize("values", [[1], "text", 7, Unreadable()], ids=lambda value: type(value).__name__)
def test_attributes_that_are_no_mapping_leave_a_mark(values: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        span.update(values).set("kept", 1)
    attributes = recorded(ironspan_trace).attributes
    assert (attributes["kept"], attributes["ironspan.bad_argument"]) == (1, "attributes")


def test_a_value_that_shows_another_mapping_is_written_as_that(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        span.output({"settings": types.MappingProxyType({"deep": [1]})})
    assert json.loads(recorded(ironspan_trace).attributes["output.value"]) == {"settings": {"deep": [1]}}


@pytest.mark.parametrize("time", [1.5, datetime.datetime.now(datetime.timezone.utc), "now", -1])
def test_a_time_that_is_no_count_of_nanoseconds_leaves_a_mark(time: Any, ironspan_trace: MemoryExporter) -> None:
    span = ironspan.span("x")
    span.start(time=time)
    span.end(time=time)
    done = recorded(ironspan_trace)
    assert done.attributes["ironspan.bad_argument"] == "time"
    assert done.end_ns >= done.start_ns > 1_600_000_000_000_000_000
