"""Spans as Arrow columns, and as Parquet files. Needs pyarrow, which nothing else of ironspan imports.

One schema for both, whatever the spans hold: a file of traces without a single error has the same columns as any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ironspan._store import Store

__all__ = ["batches", "schema", "write_parquet"]

#: Spans of a batch, and of a row group of a file: some 30 MB while it is made.
_ROWS = 16_384
#: Columns in the order of the rows of ``Store.spans()``, with Arrow's names of their types.
_COLUMNS = (
    ("trace", "string"),
    ("id", "string"),
    ("parent", "string"),
    ("name", "string"),
    ("kind", "string"),
    ("status", "string"),
    ("agent", "string"),
    ("model", "string"),
    ("service", "string"),
    ("start", "int64"),
    ("duration", "int64"),
    ("error", "string"),
    ("own_error", "bool_"),
    ("input_tokens", "int64"),
    ("output_tokens", "int64"),
    ("cost", "float64"),
    ("first_chunk", "int64"),
)


def schema() -> Any:
    """The ``pyarrow.Schema`` of spans: times in nanoseconds since the Unix epoch, durations in nanoseconds, USD.

    Raises:
        ImportError: pyarrow is not installed.
    """
    arrow = import_module("pyarrow")
    return arrow.schema([(name, getattr(arrow, kind)()) for name, kind in _COLUMNS])


def batches(spans: Iterator[dict[str, Any]]) -> Iterator[Any]:
    """The rows of ``Store.spans()`` as ``pyarrow.RecordBatch`` of 16,384 spans each, the last one shorter.

    Raises:
        ImportError: pyarrow is not installed.
    """
    columns = schema()
    make = import_module("pyarrow").RecordBatch.from_pylist
    rows: list[dict[str, Any]] = []
    for span in spans:
        rows.append(span)
        if len(rows) == _ROWS:
            yield make(rows, schema=columns)
            rows.clear()
    if rows:
        yield make(rows, schema=columns)


def write_parquet(
    store: Store,
    path: str | PathLike[str],
    filter: str = "",
    *,
    since: int | str | None = None,
    until: int | str | None = None,
    told: Callable[[int, int], object] = lambda traces, spans: None,
) -> tuple[int, int]:
    """Writes the spans of ``store.spans()`` to a new file, a row group after the other.

    The file is for nobody but the user (0600). Where there is nothing to write, and where writing fails, there is none.

    Args:
        store: Where they are read.
        path: The file, which must not be there yet.
        filter: What has to hold of a trace.
        since: The earliest start of a trace.
        until: The latest start of a trace.
        told: Called with the number of traces and spans so far, after each batch.

    Returns:
        The number of traces and of spans.

    Raises:
        ImportError: pyarrow is not installed.
        OSError: The file is there already, or cannot be written.
        ironspan.StoreError: The filter cannot be read, or the store.
    """
    parquet = import_module("pyarrow.parquet")
    columns = schema()
    traces, spans, last = 0, 0, None
    found = batches(store.spans(filter, since=since, until=until))
    first = next(found, None)
    if first is None:
        return 0, 0
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as out, parquet.ParquetWriter(out, columns, compression="zstd") as writer:
            for batch in _with_first(first, found):
                writer.write_batch(batch)
                # Traces come one after the other: a new id is a new trace.
                for trace in batch.column("trace").unique().to_pylist():
                    traces += trace != last
                    last = trace
                spans += batch.num_rows
                told(traces, spans)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return traces, spans


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
