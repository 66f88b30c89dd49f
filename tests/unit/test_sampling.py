"""Which traces are kept: by ratio, by name, by the parent's word; and tracing switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter

from tests.support.processes import run_python

TRACE = "0af7651916cd43dd8448eb211c80319c"


def remote(sampled: bool, trace: str = TRACE) -> ironspan.SpanContext:
    return ironspan.extract({"traceparent": f"00-{trace}-b7ad6b7169203331-{'01' if sampled else '00'}"})


def kept(memory: MemoryExporter, parent: Any = None) -> bool:
    memory.clear()
    with ironspan.span("x", parent=parent):
        pass
    return len(memory.spans) == 1


@pytest.mark.parametrize(
    ("sample", "root", "sampled_parent", "unsampled_parent"),
    [
        (1.0, True, True, False),
        (1, True, True, False),
        (0.0, False, True, False),
        ("always_on", True, True, True),
        ("always_off", False, False, False),
        ("parentbased_always_on", True, True, False),
        ("parentbased_always_off", False, True, False),
        ("ParentBased_Always_On", True, True, False),
    ],
)
def test_a_sampler_decides_on_roots_and_follows_parents(
    sample: Any, root: bool, sampled_parent: bool, unsampled_parent: bool
) -> None:
    memory = MemoryExporter()
    ironspan.init(exporters=[memory], sample=sample)
    assert kept(memory) is root
    assert kept(memory, remote(True)) is sampled_parent
    assert kept(memory, remote(False)) is unsampled_parent


def test_a_ratio_keeps_about_its_share_and_whole_traces() -> None:
    memory = MemoryExporter()
    ironspan.init(exporters=[memory], sample=0.25)
    before = ironspan.stats()
    for _ in range(2_000):
        with ironspan.span("root"), ironspan.span("child"), ironspan.span("grandchild"):
            pass
    spans = memory.spans
    # Six standard deviations around 500.
    assert 380 < len(spans) / 3 < 620
    traces: dict[str, int] = {}
    for span in spans:
        traces[span.trace_id] = traces.get(span.trace_id, 0) + 1
    assert set(traces.values()) == {3}
    assert ironspan.stats()["created"] == before["created"] + len(spans)


def test_two_processes_with_one_ratio_agree_on_a_trace() -> None:
    decisions = []
    for _ in range(2):
        memory = MemoryExporter()
        ironspan.init(exporters=[memory], sample="traceidratio")
        decisions.append([kept(memory, remote(False, f"{at:032x}")) for at in range(1, 20)])
    assert decisions[0] == decisions[1]


def test_an_unsampled_span_behaves_like_any_other() -> None:
    memory = MemoryExporter()
    ironspan.init(exporters=[memory], sample=0.0)
    before = ironspan.stats()
    with ironspan.agent("a", input="x", attributes={"k": 1}, tags=["t"]) as span:
        assert not span.recording
        assert ironspan.current().trace_id == span.trace_id
        span.set("a", 1).update({"b": 2}).event("e").error(ValueError("x")).usage(input=1).link(span)
        carrier = ironspan.inject({})
        with ironspan.tool("t") as child:
            assert child.trace_id == span.trace_id
            assert not child.recording
    assert ironspan.extract(carrier).trace_id == span.trace_id
    assert not ironspan.extract(carrier).sampled
    after = ironspan.stats()
    assert (after["created"], after["late_calls"], after["open_spans"]) == (
        before["created"],
        before["late_calls"],
        before["open_spans"],
    )
    assert memory.spans == []


def test_an_exception_passes_through_an_unsampled_span() -> None:
    ironspan.init(exporters=[MemoryExporter()], sample=0.0)
    with pytest.raises(ValueError, match="bad"), ironspan.span("x"):
        raise ValueError("bad")
    assert not ironspan.current().recording


CHECK = """
    import ironspan
    from ironspan.testing import MemoryExporter
    memory = MemoryExporter()
    ironspan.init(exporters=[memory])
    for at in range(400):
        with ironspan.span("x"):
            pass
    print(len(memory.spans))
"""


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("always_on", "", lambda count: count == 400),
        ("always_off", "", lambda count: count == 0),
        ("traceidratio", "0.5", lambda count: 120 < count < 280),
        ("parentbased_traceidratio", "0", lambda count: count == 0),
        ("parentbased_traceidratio", "1", lambda count: count == 400),
        ("parentbased_always_off", "", lambda count: count == 0),
    ],
)
def test_samplers_are_chosen_by_variable(name: str, argument: str, expected: Callable[[int], bool]) -> None:
    done = run_python(CHECK, env={"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert expected(int(done.stdout))
    assert done.stderr == ""


def test_an_argument_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    memory = MemoryExporter()
    ironspan.init(exporters=[memory], sample=1.0)
    assert kept(memory)


def test_disabled_by_variable_nothing_is_recorded_and_contexts_still_travel() -> None:
    done = run_python(
        """
        import os, ironspan
        from ironspan.testing import MemoryExporter
        memory = MemoryExporter()
        ironspan.init(exporters=[memory])
        header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with ironspan.attach(ironspan.extract({"traceparent": header})):
            with ironspan.agent("a", input="x") as span:
                assert not span.recording
                assert ironspan.inject({})["traceparent"] == header
        assert memory.spans == []
        counts = ironspan.stats()
        assert counts["created"] == counts["late_calls"] == 0, counts
        assert ironspan.flush() and ironspan.shutdown()
        assert len(os.listdir("/proc/self/task")) == 1
        """,
        env={"OTEL_SDK_DISABLED": "true"},
    )
    assert done.stderr == ""
