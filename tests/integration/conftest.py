"""Every integration test gets an ironspan of its own that exports to memory, and must leave nothing open."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

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


@pytest.fixture
def llamaindex() -> Iterator[None]:
    """LlamaIndex is recorded while the test runs."""
    import ironspan.llamaindex

    ironspan.llamaindex.instrument()
    yield
    ironspan.llamaindex.uninstrument()


@pytest.fixture
def notes() -> Iterator[Any]:
    """LlamaIndex is recorded, and here is an index of two documents. Building it is not what a test is about."""
    import ironspan.llamaindex

    from tests.support.llama import index

    ironspan.llamaindex.uninstrument()
    made = index()
    ironspan.llamaindex.instrument()
    yield made
    ironspan.llamaindex.uninstrument()
