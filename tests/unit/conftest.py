"""Every unit test starts without configuration and without a current span, and leaves counts that add up."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import ironspan
import pytest
from ironspan import _guard

_PREFIXES = ("OTEL_", "IRONSPAN_", "TRACEPARENT", "TRACESTATE", "BAGGAGE")


@pytest.fixture(autouse=True, scope="session")
def quick_collections() -> Iterator[None]:
    """Each test ends with a collection: it need not look again at what other tests' frameworks imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration from outside. A failure inside ironspan reaches the test, a miscount fails it."""
    for name in [name for name in os.environ if name.startswith(_PREFIXES)]:
        monkeypatch.delenv(name)
    # Otherwise a test that calls init() without a destination writes to the store of whoever runs the tests.
    monkeypatch.setenv("IRONSPAN_STORE", "off")
    monkeypatch.setattr(_guard, "reraise", True)
    yield
    ironspan.shutdown()
    gc.collect()
    counts = ironspan.stats()
    settled = counts["delivered"] + counts["rejected"] + sum(counts["dropped"].values()) + counts["pending"]
    assert counts["created"] == settled
    assert not ironspan.current().recording
