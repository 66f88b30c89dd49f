"""Traces across processes: every kind of carrier, every format, real child processes, pickles."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter
from tests.support.processes import clean_environment, run_python

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


class Headers:
    """As httpx and starlette have them: repeated names, bytes inside."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def multi_items(self) -> list[tuple[str, str]]:
        return self.pairs

    def __setitem__(self, name: str, value: str) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != name.lower()] + [(name, value)]


class Properties:
    """As message brokers have them."""

    def __init__(self, headers: Any) -> None:
        self.headers = headers


CARRIERS: list[Any] = [
    {"traceparent": TRACEPARENT},
    {"TraceParent": TRACEPARENT},
    {"traceparent": TRACEPARENT.encode()},
    {b"traceparent": TRACEPARENT.encode()},
    {"traceparent": [TRACEPARENT]},
    {"other": object(), 7: 8, "traceparent": TRACEPARENT},
    [("traceparent", TRACEPARENT)],
    [("traceparent", TRACEPARENT.encode())],
    [(b"traceparent", TRACEPARENT.encode())],
    (("traceparent", TRACEPARENT),),
    [("broken",), 7, ("traceparent", TRACEPARENT)],
    Headers([("a", "b"), ("Traceparent", TRACEPARENT)]),
    Properties({"traceparent": TRACEPARENT}),
    Properties([("traceparent", TRACEPARENT.encode())]),
]


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: type(carrier).__name__)
def test_a_context_is_found_in_every_kind_of_carrier(carrier: Any) -> None:
    context = ironspan.extract(carrier)
    assert context
    assert (context.trace_id, context.span_id) == (TRACE, SPAN)
    assert context.remote
    assert context.sampled
    assert context.traceparent == TRACEPARENT


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)

    def __iter__(self) -> Iterator[Any]:
        raise ValueError("no")


@pytest.mark.parametrize(
    "carrier",
    [None, 7, "text", b"raw", {}, [], object(), Hostile(), {"traceparent": None}, {"traceparent": "garbage"}, [None]],
    ids=repr,
)
def test_a_carrier_without_a_context_gives_an_empty_one(carrier: Any) -> None:
    context = ironspan.extract(carrier)
    assert not context
    assert (context.is_valid, context.traceparent, context.baggage) == (False, None, {})


def test_tracestate_and_baggage_are_carried(ironspan_trace: MemoryExporter) -> None:
    incoming = {"traceparent": TRACEPARENT, "tracestate": "vendor=value,other=1", "baggage": "a=1,b=x%20y"}
    with ironspan.attach(ironspan.extract(incoming)), ironspan.span("server"):
        outgoing = ironspan.inject({})
    assert ironspan_trace.find("server").trace_state == "vendor=value,other=1"
    assert outgoing["tracestate"] == "vendor=value,other=1"
    assert ironspan.extract(outgoing).baggage == {"a": "1", "b": "x y"}


def test_attach_makes_a_remote_parent(ironspan_trace: MemoryExporter) -> None:
    with ironspan.attach(ironspan.extract({"traceparent": TRACEPARENT})):
        assert not ironspan.current().recording
        assert ironspan.current().trace_id == TRACE
        with ironspan.span("server"):
            pass
    done = ironspan_trace.find("server")
    assert (done.trace_id, done.parent_id, done.flags & 0x300) == (TRACE, SPAN, 0x300)
    assert not ironspan.current().context


def test_attach_of_nothing_changes_nothing(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root:
        for nothing in (ironspan.extract({}), None, "garbage", 7):
            with ironspan.attach(nothing):
                assert ironspan.current() is root
                with ironspan.span("child"):
                    pass
    assert {span.parent_id for span in ironspan_trace.spans if span.name == "child"} == {root.span_id}


def test_attach_takes_a_span_a_context_or_a_traceparent(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("root") as root:
        pass
    for target in (root, root.context, root.context.traceparent):
        with ironspan.attach(target), ironspan.span("child"):
            pass
    assert {span.parent_id for span in ironspan_trace.spans if span.name == "child"} == {root.span_id}


def test_a_parent_by_name_may_be_remote(ironspan_trace: MemoryExporter) -> None:
    for parent in (TRACEPARENT, ironspan.extract({"traceparent": TRACEPARENT})):
        with ironspan.span("x", parent=parent):
            pass
    assert {(span.trace_id, span.parent_id) for span in ironspan_trace.spans} == {(TRACE, SPAN)}


def test_inject_writes_into_what_it_is_given_and_returns_it(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("client") as span:
        expected = span.context.traceparent
        mapping: dict[str, str] = {"kept": "1", "traceparent": "old"}
        assert ironspan.inject(mapping) is mapping
        assert mapping == {"kept": "1", "traceparent": expected}

        kafka: list[Any] = []
        assert ironspan.inject(kafka) is kafka
        assert kafka == [("traceparent", str(expected).encode())]

        asgi: list[Any] = [(b"kept", b"1"), (b"traceparent", b"old")]
        ironspan.inject(asgi)
        assert asgi == [(b"kept", b"1"), (b"traceparent", str(expected).encode())]

        text: list[Any] = [("kept", "1"), ("Traceparent", "old"), ("traceparent", "older")]
        ironspan.inject(text)
        assert text == [("kept", "1"), ("traceparent", expected)]

        headers = Headers([("traceparent", "old")])
        ironspan.inject(headers)
        assert headers.pairs == [("traceparent", expected)]

        assert ironspan.inject() == ironspan.inject(None) == {"traceparent": expected}


def test_inject_without_a_span_writes_nothing(ironspan_trace: MemoryExporter) -> None:
    assert ironspan.inject({}) == {}


@pytest.mark.parametrize("carrier", [7, object(), "text", (), frozenset()], ids=repr)
def test_inject_into_what_cannot_be_written_raises_nothing(carrier: Any, ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("client"):
        assert ironspan.inject(carrier) is carrier


def test_the_environment_of_this_process_is_a_carrier(
    ironspan_trace: MemoryExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    monkeypatch.setenv("BAGGAGE", "tenant=t1")
    context = ironspan.extract(os.environ)
    assert (context.trace_id, context.baggage) == (TRACE, {"tenant": "t1"})
    with ironspan.span("client") as span:
        assert ironspan.inject(os.environ) is os.environ
        assert os.environ["TRACEPARENT"] == span.context.traceparent


def test_environment_makes_a_copy_for_a_child(ironspan_trace: MemoryExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACESTATE", "left=behind")
    with ironspan.scope(baggage={"tenant": "t1"}), ironspan.span("client") as span:
        child = ironspan.environment()
        based = ironspan.environment({"A": "1"})
    assert child["TRACEPARENT"] == based["TRACEPARENT"] == span.context.traceparent
    assert child["BAGGAGE"] == "tenant=t1"
    assert child["PATH"] == os.environ["PATH"]
    assert "TRACESTATE" not in child
    assert "TRACEPARENT" not in os.environ
    assert based["A"] == "1"
    assert "PATH" not in based


def test_a_child_process_continues_the_trace(ironspan_trace: MemoryExporter) -> None:
    code = """
import json, os, ironspan
from ironspan.testing import MemoryExporter
memory = MemoryExporter()
ironspan.init(exporters=[memory])
with ironspan.attach(ironspan.extract(os.environ)), ironspan.span("child"):
    pass
(done,) = memory.spans
print(json.dumps([done.trace_id, done.parent_id, done.span_id, done.flags]))
"""
    with ironspan.span("parent") as parent:
        output = subprocess.run(
            [sys.executable, "-c", code],
            env=ironspan.environment(clean_environment()),
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
    trace_id, parent_id, span_id, flags = json.loads(output)
    assert (trace_id, parent_id) == (parent.trace_id, parent.span_id)
    assert span_id != parent.span_id
    assert flags & 0x200


FORMATS = [
    ("b3", ["b3"]),
    ("b3multi", ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]),
    ("jaeger", ["uber-trace-id"]),
    ("xray", ["x-amzn-trace-id"]),
    ("tracecontext,b3", ["traceparent", "b3"]),
]


@pytest.mark.parametrize(("names", "headers"), FORMATS, ids=[names for names, _ in FORMATS])
def test_formats_are_chosen_by_variable(names: str, headers: list[str]) -> None:
    done = run_python(
        """
        import json, ironspan
        from ironspan.testing import MemoryExporter
        ironspan.init(exporters=[MemoryExporter()])
        with ironspan.span("client") as span:
            carrier = ironspan.inject({})
        found = ironspan.extract({name.upper(): value for name, value in carrier.items()})
        print(json.dumps([sorted(name.lower() for name in carrier), found.trace_id == span.trace_id,
                          found.span_id == span.span_id, found.sampled]))
        """,
        env={"OTEL_PROPAGATORS": names},
    )
    assert json.loads(done.stdout) == [sorted(headers), True, True, True]
    assert done.stderr == ""


def test_no_format_is_a_choice(ironspan_trace: MemoryExporter) -> None:
    ironspan.init(exporters=[MemoryExporter()], propagators=["none"])
    with ironspan.span("client"):
        assert ironspan.inject({}) == {}
    assert not ironspan.extract({"traceparent": TRACEPARENT})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_context_survives_pickling(protocol: int, ironspan_trace: MemoryExporter) -> None:
    with ironspan.scope(baggage={"tenant": "t1"}), ironspan.span("x") as span:
        context = span.context
        again = pickle.loads(pickle.dumps(context, protocol))
    assert (again.trace_id, again.span_id, again.sampled) == (context.trace_id, context.span_id, True)
    assert again.baggage == {"tenant": "t1"}
    assert pickle.loads(pickle.dumps(ironspan.extract({}), protocol)).is_valid is False


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_span_stands_for_the_span_and_records_nothing(
    protocol: int, ironspan_trace: MemoryExporter
) -> None:
    with ironspan.span("x") as span:
        data = pickle.dumps({"span": span}, protocol)
    with ironspan.span("other"):
        again = pickle.loads(data)["span"]
        assert not again.recording
        assert (again.trace_id, again.span_id) == (span.trace_id, span.span_id)
        again.set("a", 1).end()
        with ironspan.span("child", parent=again):
            pass
    assert ironspan_trace.find("child").parent_id == span.span_id
    assert len(ironspan_trace.spans) == 3


def test_unset_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(ironspan.UNSET)) is ironspan.UNSET


def test_contexts_are_values() -> None:
    one, two = (ironspan.extract({"traceparent": TRACEPARENT}) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two}) == 1
    assert TRACEPARENT in repr(one)
