"""``MemoryExporter``: finished spans as Python objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ironspan import _core

__all__ = ["FinishedSpan", "MemoryExporter"]


@dataclass(frozen=True)
class FinishedSpan:
    """A span as it would be exported.

    Attributes:
        name: Name on the wire, such as ``chat gpt-4o``.
        kind: What the step is: ``span``, ``workflow``, ``agent``, ``generation``, ``retrieval``, ``embedding``,
            ``tool``, ``rerank``, ``evaluator`` or ``guardrail``.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: 16 hexadecimal digits; None for a root.
        status: ``ok``, ``error``, ``cancelled``, ``interrupted`` or ``abandoned``.
        status_message: What went wrong; empty unless the status is ``error``.
        attributes: Names and values.
        events: Each with ``name``, ``time_ns`` (Unix nanoseconds), ``attributes``, ``dropped_attributes``.
        links: Each with ``trace_id``, ``span_id``, ``flags``, ``trace_state``, ``attributes``, ``dropped_attributes``.
        start_ns: Unix nanoseconds.
        end_ns: Unix nanoseconds, never before ``start_ns``.
        otel_kind: OpenTelemetry SpanKind as in OTLP: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
        flags: OTLP flags: W3C trace flags, 0x100 remoteness known, 0x200 parent remote.
        trace_state: W3C tracestate.
        dropped_attributes: Attributes over the limits; likewise for events and links.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    status: str
    status_message: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0
    otel_kind: int = 1
    flags: int = 0
    trace_state: str = ""
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0


class MemoryExporter:
    """Keeps finished spans in memory, up to 256 MiB. Pass it to ``init(exporters=[...])``."""

    def __init__(self) -> None:
        self._store = _core.MemoryStore()

    @property
    def spans(self) -> list[FinishedSpan]:
        """All spans that have ended so far, in the order in which they ended. Flushes first."""
        _core.flush(5.0)
        return [FinishedSpan(**span) for span in self._store.spans()]

    @property
    def resource(self) -> dict[str, Any]:
        """Attributes of the resource; empty before the first span has arrived."""
        _core.flush(5.0)
        return self._store.resource()

    def find(self, name: str) -> FinishedSpan:
        """The one span of that name.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = [span.name for span in self.spans]
            raise LookupError(f"{len(found)} spans are named {name!r}; there are {names}")
        return found[0]

    def clear(self) -> None:
        """Forgets what has arrived."""
        _core.flush(5.0)
        self._store.clear()
