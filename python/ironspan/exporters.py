"""Destinations for ``ironspan.init(exporters=[...])``.

These objects only say what is wanted. They are read, checked and put to work by ``init()``, which raises
``ironspan.ConfigError`` for a value that cannot work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

__all__ = ["Console", "File", "Otlp"]


class Otlp:
    """Sends spans by OTLP to a collector or backend.

    Args:
        endpoint: Base URL such as ``http://localhost:4318`` (``/v1/traces`` is appended), or for ``grpc`` a URL or
            ``host:port``. Default: what ``OTEL_EXPORTER_OTLP_ENDPOINT`` says, else ``http://localhost:4318``.
        traces_endpoint: The exact URL for traces, nothing appended. Not together with ``endpoint``.
        protocol: ``http/protobuf`` (default), ``http/json`` or ``grpc``.
        headers: Headers of each request. Values are treated as secrets: never printed or logged.
        compression: ``none``, ``gzip`` or ``zstd``. Default: none on loopback, otherwise gzip.
        timeout: Seconds that one attempt may take, connecting included; 0 is no limit. Default 10.
        certificate: PEM file of certificates to trust instead of the system's.
        client_certificate: PEM file of our certificate, for mutual TLS.
        client_key: PEM file of its private key.
        insecure: Whether ``grpc`` to an endpoint without scheme goes without TLS. Default False.
        allow_plain_credentials: Whether headers that carry credentials may travel over plain http to another machine.
            Default False.
        dialects: Attribute names for this destination instead of those of ``init(dialects=...)``.

    Source: OpenTelemetry specification, "OTLP Exporter Configuration".
    """

    _ironspan_exporter = "otlp"

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        traces_endpoint: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
        timeout: float | None = None,
        certificate: str | PathLike[str] | None = None,
        client_certificate: str | PathLike[str] | None = None,
        client_key: str | PathLike[str] | None = None,
        insecure: bool | None = None,
        allow_plain_credentials: bool | None = None,
        dialects: Sequence[str] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.traces_endpoint = traces_endpoint
        self.protocol = protocol
        self.headers = None if headers is None else dict(headers)
        self.compression = compression
        self.timeout = timeout
        self.certificate = certificate
        self.client_certificate = client_certificate
        self.client_key = client_key
        self.insecure = insecure
        self.allow_plain_credentials = allow_plain_credentials
        self.dialects = dialects

    def __repr__(self) -> str:
        # Headers are left out: they carry credentials.
        return f"Otlp({self.endpoint or self.traces_endpoint or 'default endpoint'!r})"


class Console:
    """Prints finished traces to standard output.

    Args:
        mode: ``tree`` (default) or ``summary``, one line for each trace.
        colour: ``auto`` (default: only on a terminal), ``always`` or ``never``.
    """

    _ironspan_exporter = "console"

    def __init__(self, mode: str = "tree", *, colour: str = "auto") -> None:
        self.mode = mode
        self.colour = colour

    def __repr__(self) -> str:
        return f"Console({self.mode!r})"


class File:
    """Appends spans to a file of OTLP JSON lines, one ``TracesData`` a line.

    Args:
        path: The file, its name ending in ``.jsonl``. Created with mode 0600.
        dialects: Attribute names for this destination instead of those of ``init(dialects=...)``.

    Source: OpenTelemetry specification, "OpenTelemetry Protocol File Exporter".
    """

    _ironspan_exporter = "file"

    def __init__(self, path: str | PathLike[str], *, dialects: Sequence[str] | None = None) -> None:
        self.path = path
        self.dialects = dialects

    def __repr__(self) -> str:
        return f"File({str(self.path)!r})"
