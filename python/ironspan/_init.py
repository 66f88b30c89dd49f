"""``ironspan.init``: the one place where configuration comes from code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ironspan import _core
from ironspan._core import UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

__all__ = ["init"]


def init(
    service: str | None = None,
    *,
    store: str | PathLike[str] | None = UNSET,
    exporters: str | Sequence[Any] = UNSET,
    sample: float | str = UNSET,
    capture: str = UNSET,
    limits: Mapping[str, int] = UNSET,
    resource: Mapping[str, Any] | None = None,
    environment: str | None = None,
    version: str | None = None,
    propagators: Sequence[str] = UNSET,
    dialects: Sequence[str] = UNSET,
    shutdown_timeout: float = UNSET,
    console: str = UNSET,
    threads: bool = UNSET,
    strict: bool = False,
    **unknown: Any,
) -> None:
    """Configures ironspan. Optional: without it, the first span reads everything from the environment.

    An argument beats its environment variable. Calling it again replaces the configuration: what was pending is sent
    first, for at most ``shutdown_timeout`` seconds.

    Args:
        service: Name of the service (``service.name``). Default: ``OTEL_SERVICE_NAME``, else
            ``unknown_service:<executable>``.
        store: Where the local store is: a path, ``"memory"``, ``"auto"`` or ``None`` for none. Reserved: spans are not
            stored yet, so name an exporter.
        exporters: ``"env"`` (default: what ``OTEL_TRACES_EXPORTER`` and ``OTEL_EXPORTER_OTLP_*`` name, and nothing
            otherwise), or a list of objects from ``ironspan.exporters`` and ``ironspan.testing.MemoryExporter``.
        sample: Share of new traces to keep, 0 to 1, decided by trace id; or the name of a sampler as in
            ``OTEL_TRACES_SAMPLER``. Default: all.
        capture: How much content is kept: ``off``, ``metadata``, ``redacted`` or ``full`` (default).
        limits: Any of ``attribute_value_length`` (characters), ``attributes``, ``events``, ``links``,
            ``event_attributes``, ``link_attributes`` (counts), ``depth``, ``nodes``, ``items`` (of one value),
            ``span_bytes``, ``buffer_bytes`` (bytes).
        resource: More attributes of the resource.
        environment: ``deployment.environment.name``.
        version: ``service.version``.
        propagators: Names as in ``OTEL_PROPAGATORS``. Default ``("tracecontext", "baggage")``.
        dialects: Attribute names on the wire. Default ``("genai",)``.
        shutdown_timeout: Seconds that ``shutdown()`` and the exit of the program wait. Default 2.
        console: ``off`` (default), ``summary`` or ``tree``: print each finished trace.
        threads: Whether threads and executors inherit the current span. Default True.
        strict: Whether a wrong environment variable raises, too.
        **unknown: Raises, with the nearest option that exists.

    Raises:
        ConfigError: An argument is wrong; the text names it and says what to write instead.
    """
    given: dict[str, Any] = {
        "service": service,
        "exporters": exporters,
        "sample": sample,
        "capture": capture,
        "limits": limits,
        "resource": resource,
        "environment": environment,
        "version": version,
        "propagators": propagators,
        "dialects": dialects,
        "shutdown_timeout": shutdown_timeout,
        "console": console,
        "threads": threads,
        "strict": strict,
        **unknown,
    }
    options = {name: value for name, value in given.items() if value is not UNSET and value is not None}
    if store is not UNSET:
        options["store"] = store
    _core.configure(options)
