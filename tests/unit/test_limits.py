"""Limits of spans, from arguments and from `OTEL_SPAN_*` and `OTEL_ATTRIBUTE_*`; every cut is counted or marked."""

from __future__ import annotations

import json
from typing import Any

import ironspan
import pytest
from ironspan.testing import FinishedSpan, MemoryExporter

from tests.support.processes import run_python

SCRIPT = """
import json, ironspan
from ironspan.testing import MemoryExporter

memory = MemoryExporter()
ironspan.init(exporters=[memory])
with ironspan.span("target") as target:
    pass
memory.clear()
with ironspan.span("x") as span:
    for at in range(200):
        span.set(f"a{at}", "x" * 50)
        span.event(f"e{at}", **{f"k{n}": "y" * 50 for n in range(150)})
        span.link(target)
(done,) = memory.spans
print(json.dumps({
    "attributes": sum(key.startswith("a") for key in done.attributes), "dropped": done.dropped_attributes,
    "first": "a0" in done.attributes, "length": len(done.attributes.get("a0", "")),
    "events": [event["name"] for event in done.events], "dropped_events": done.dropped_events,
    "event_attributes": max([len(event["attributes"]) for event in done.events], default=0),
    "event_length": max([len(v) for event in done.events for v in event["attributes"].values()], default=0),
    "dropped_in_event": max([event["dropped_attributes"] for event in done.events], default=0),
    "links": len(done.links), "dropped_links": done.dropped_links,
    "truncated": done.attributes.get("ironspan.truncated", False),
}))
"""


def under(**variables: str) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads(run_python(SCRIPT, env=variables).stdout)
    return counts


def test_the_defaults_are_those_of_opentelemetry() -> None:
    counts = under()
    # One of the 128 is ironspan's own.
    assert (counts["attributes"], counts["dropped"], counts["first"]) == (127, 73, True)
    assert (len(counts["events"]), counts["dropped_events"]) == (128, 72)
    assert (counts["event_attributes"], counts["dropped_in_event"]) == (128, 22)
    assert (counts["links"], counts["dropped_links"]) == (128, 72)
    assert (counts["length"], counts["truncated"]) == (50, False)


def test_the_newest_events_are_kept() -> None:
    assert under(OTEL_SPAN_EVENT_COUNT_LIMIT="2")["events"] == ["e198", "e199"]


def test_span_variables_set_counts() -> None:
    counts = under(
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="11",
        OTEL_SPAN_EVENT_COUNT_LIMIT="3",
        OTEL_SPAN_LINK_COUNT_LIMIT="4",
        OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT="5",
        OTEL_ATTRIBUTE_COUNT_LIMIT="7",
    )
    assert (counts["attributes"], counts["dropped"]) == (10, 190)
    assert (len(counts["events"]), counts["dropped_events"]) == (3, 197)
    assert (counts["event_attributes"], counts["dropped_in_event"]) == (5, 145)
    assert (counts["links"], counts["dropped_links"]) == (4, 196)


def test_the_general_variable_counts_where_no_special_one_is_set() -> None:
    counts = under(OTEL_ATTRIBUTE_COUNT_LIMIT="7", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="10")
    assert (counts["attributes"], counts["event_attributes"]) == (6, 7)
    assert (counts["length"], counts["event_length"], counts["truncated"]) == (10, 10, True)


def test_the_span_s_value_length_wins_over_the_general_one() -> None:
    counts = under(OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="20", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="10")
    assert counts["length"] == 20


def test_a_limit_of_nothing_keeps_nothing() -> None:
    counts = under(OTEL_SPAN_EVENT_COUNT_LIMIT="0", OTEL_SPAN_LINK_COUNT_LIMIT="0")
    assert (counts["events"], counts["dropped_events"]) == ([], 200)
    assert (counts["links"], counts["dropped_links"]) == (0, 200)


def with_limits(limits: dict[str, int], **attributes: Any) -> FinishedSpan:
    memory = MemoryExporter()
    ironspan.init(exporters=[memory], limits=limits)
    with ironspan.span("x") as span:
        span.update(attributes)
    (done,) = memory.spans
    return done


def test_a_length_limit_counts_characters_and_keeps_json_valid() -> None:
    done = with_limits({"attribute_value_length": 3}, text="äöüß", astral="😀😀😀😀", body={"key": ["abcdef", 12345]})
    assert (done.attributes["text"], done.attributes["astral"]) == ("äöü", "😀😀😀")
    assert json.loads(done.attributes["body"]) == {"key": ["abc", 12345]}
    assert done.attributes["ironspan.truncated"] is True


def test_arguments_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "100")
    done = with_limits({"attributes": 3}, **{f"k{at}": at for at in range(10)})
    assert (len(done.attributes), done.dropped_attributes) == (3, 8)


def test_attributes_of_ironspan_are_never_crowded_out(ironspan_trace: MemoryExporter) -> None:
    with ironspan.generation("m", provider="openai") as span:
        for at in range(500):
            span.set(f"k{at}", at)
        span.output("answer").usage(input=1)
    (done,) = ironspan_trace.spans
    assert done.attributes["gen_ai.request.model"] == "m"
    assert done.attributes["gen_ai.usage.input_tokens"] == 1
    assert done.dropped_attributes > 0


def test_a_span_over_its_bytes_leaves_out_what_comes_later(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x") as span:
        for at in range(20):
            span.set(f"k{at}", chr(97 + at) * 1_000_000)
        span.set("late", 1)
    (done,) = ironspan_trace.spans
    kept = [key for key in done.attributes if key.startswith("k")]
    assert 15 <= len(kept) <= 17
    assert done.dropped_attributes == 20 - len(kept) or done.attributes["ironspan.truncated"]
    assert done.attributes["ironspan.truncated"] is True
    assert done.attributes["k0"] == "a" * 1_000_000


@pytest.mark.parametrize("where", ["messages", "input", "attribute"])
def test_two_texts_that_fit_alone_are_shortened_to_the_span_s_bytes(where: str, ironspan_trace: MemoryExporter) -> None:
    texts = ["y" * 10_000_000, "z" * 10_000_000]
    with ironspan.generation("m", **({where: texts} if where != "attribute" else {})) as span:
        if where == "attribute":
            span.set("texts", texts)
    ironspan.flush()
    done = ironspan_trace.spans[-1]
    kept = len(json.dumps(done.attributes))
    assert 10_000_000 < kept <= 16 * 1024 * 1024 + 4096
    assert done.attributes["ironspan.truncated"] is True
