"""The pytest fixture ``ironspan_trace``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ironspan
from ironspan.testing import MemoryExporter

__all__ = ["ironspan_trace"]


@pytest.fixture
def ironspan_trace() -> Iterator[MemoryExporter]:
    """Spans of the test, in memory: nothing else receives them. Shuts ironspan down afterwards."""
    exporter = MemoryExporter()
    ironspan.init("test", exporters=[exporter])
    yield exporter
    ironspan.shutdown()
