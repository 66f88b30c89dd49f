"""Every integration test gets an ironspan of its own that exports to memory, and must leave nothing open."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import ironspan
import pytest
from ironspan import _guard
from ironspan._runs import RUNS
from ironspan.testing import FinishedSpan, MemoryExporter


@pytest.fixture
def memory() -> Iterator[MemoryExporter]:
    """The exporter of a fresh ironspan. Failures inside callbacks reach the test."""
    exporter = MemoryExporter()
    ironspan.init("tests", store=None, exporters=[exporter])
    _guard.reraise = True
    yield exporter
    _guard.reraise = False
    gc.collect()
    assert len(RUNS) == 0
    ironspan.shutdown()


@pytest.fixture
def spans(memory: MemoryExporter) -> Callable[[], list[FinishedSpan]]:
    """What has been recorded so far."""

    def recorded() -> list[FinishedSpan]:
        ironspan.flush()
        return list(memory.spans)

    return recorded
