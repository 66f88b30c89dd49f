"""``ironspan.open_store``: what the local store holds, as Python objects.

The questions and the shapes of the answers are those of docs/viewer-api.md; here times are integers, a trace's columns
become one dictionary for each span, and lists follow their pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from ironspan._core import _StoreReader

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Store", "open_store"]

#: Rows that one question brings at most.
_PAGE = 500


def open_store(path: str | PathLike[str] | None = None) -> Store:
    """Opens a store for reading, beside whatever writes to it.

    Args:
        path: The file. Default: ``IRONSPAN_STORE``, ``./.ironspan/traces.db``, the user's own; see docs/store.md.

    Raises:
        ironspan.StoreError: There is none, it is something else, damaged, or of a later version.
    """
    return Store(path)


class Store:
    """A store, open for reading. A context manager; may be used from several threads, one question at a time.

    Times are nanoseconds since the Unix epoch, durations nanoseconds, costs USD; ``None`` is "not known". Filters are
    those of the command line and the page: ``agent:coder errors:recovered cost:>0.01 "free text"``. ``since`` and
    ``until`` are nanoseconds, or text like ``15m``, ``24h``, ``7d`` back from now.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        """See ``open_store``."""
        self._reader = _StoreReader(None if path is None else fspath(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. Whatever is asked afterwards raises."""
        self._reader.close()

    @property
    def path(self) -> str:
        """The file."""
        return self._reader.path

    def _ask(self, question: str, **parameters: object) -> Any:
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        return json.loads(self._reader.ask(question, given))

    def status(self) -> dict[str, Any]:
        """Path, size in bytes, number of traces and spans, schema."""
        answer: dict[str, Any] = self._ask("/status")
        return answer

    def traces(
        self,
        filter: str = "",
        *,
        since: int | str | None = None,
        until: int | str | None = None,
        sort: str = "start",
        limit: int | None = 50,
    ) -> list[dict[str, Any]]:
        """Traces, newest or largest first.

        Args:
            filter: What has to hold of a trace.
            since: The earliest start.
            until: The latest start.
            sort: ``start``, ``duration``, ``cost``, ``tokens`` or ``errors``.
            limit: At most so many; ``None`` for all.

        Raises:
            ironspan.StoreError: The filter cannot be read, or the store.
        """
        return list(self._pages("/traces", "traces", limit, q=filter, since=since, until=until, sort=sort))

    def trace(self, trace_id: str) -> dict[str, Any]:
        """One trace: ``{"trace": row, "spans": [...], "links": [...], "warnings": [...], "scores": [...]}``.

        Spans come in the order of their starts, without content, with ``parent`` as the span's id; those that run or
        are lost are among them.

        Args:
            trace_id: The id, or a prefix of four characters or more that only one has.

        Raises:
            ironspan.StoreError: There is none, or several.
        """
        answer = self._ask(f"/traces/{trace_id}")
        return {**answer, "trace": _timed(answer["trace"]), "spans": _rows(answer)}

    def span(self, trace_id: str, span_id: str) -> dict[str, Any]:
        """One span with its content: messages, documents, attributes, events, links, all of it.

        Raises:
            ironspan.StoreError: There is none.
        """
        return _timed(self._ask(f"/spans/{trace_id}/{span_id}", whole=1))

    def spans(
        self,
        filter: str = "",
        *,
        since: int | str | None = None,
        until: int | str | None = None,
        limit: int | None = None,
        content: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """The spans of all traces for which the filter holds, trace by trace, newest trace first.

        Args:
            filter: What has to hold of a trace.
            since: The earliest start of a trace.
            until: The latest start of a trace.
            limit: At most so many traces; ``None`` for all.
            content: Each span as ``span()`` has it.

        Raises:
            ironspan.StoreError: The filter cannot be read, or the store.
        """
        for row in self._pages("/traces", "traces", limit, q=filter, since=since, until=until):
            for span in self.trace(row["id"])["spans"]:
                yield self.span(row["id"], span["id"]) if content else span

    def search(self, text: str, *, since: int | str | None = None, limit: int | None = 50) -> list[dict[str, Any]]:
        """Spans in whose content the text stands, newest first, each with a ``snippet`` of before, match and after."""
        return list(self._pages("/search", "hits", limit, text=text, since=since))

    def stats(
        self, by: str = "agent", filter: str = "", *, since: int | str | None = None, until: int | str | None = None
    ) -> list[dict[str, Any]]:
        """Counts, errors, percentiles, tokens and cost for each agent, or whatever else.

        Args:
            by: ``agent``, ``tool``, ``model``, ``session``, ``user``, ``name`` or ``kind``.
            filter: What has to hold of a trace.
            since: The beginning of the time.
            until: Its end.

        Raises:
            ironspan.StoreError: A word that is not known, or the store.
        """
        answer: list[dict[str, Any]] = self._ask("/metrics/table", by=by, q=filter, since=since, until=until)["rows"]
        return answer

    def errors(self, filter: str = "", *, since: int | str | None = None) -> list[dict[str, Any]]:
        """Groups of errors by agent, span, type and message without its numbers, the most frequent first."""
        return list(self._pages("/errors", "groups", None, q=filter, since=since))

    def sessions(self, *, since: int | str | None = None, limit: int | None = 50) -> list[dict[str, Any]]:
        """Sessions with their totals, newest first."""
        return list(self._pages("/sessions", "sessions", limit, since=since))

    def scores(self, name: str | None = None, *, trace_id: str | None = None) -> list[dict[str, Any]]:
        """Scores, of one name or of one trace where that is given."""
        answer: list[dict[str, Any]] = self._ask("/scores", name=name, trace=trace_id)["scores"]
        return [_timed(score) for score in answer]

    def to_arrow(self, filter: str = "", *, since: int | str | None = None, until: int | str | None = None) -> Any:
        """The spans of ``spans()`` as a ``pyarrow.Table``, always of the same columns. Needs pyarrow."""
        from ironspan._arrow import batches, schema

        found = batches(self.spans(filter, since=since, until=until))
        return import_module("pyarrow").Table.from_batches(found, schema=schema())

    def to_parquet(
        self,
        path: str | PathLike[str],
        filter: str = "",
        *,
        since: int | str | None = None,
        until: int | str | None = None,
    ) -> int:
        """Writes the table of ``to_arrow()`` to a new Parquet file, without holding it in memory. Needs pyarrow.

        Args:
            path: The file, for nobody but the user; it must not be there yet.
            filter: What has to hold of a trace.
            since: The earliest start of a trace.
            until: The latest start of a trace.

        Returns:
            The number of spans; with none, no file is made.

        Raises:
            ironspan.StoreError: The filter cannot be read, or the store.
            OSError: The file is there already, or cannot be written.
        """
        from ironspan._arrow import write_parquet

        return write_parquet(self, path, filter, since=since, until=until)[1]

    def to_pandas(self, filter: str = "", *, since: int | str | None = None, until: int | str | None = None) -> Any:
        """The spans of ``spans()`` as a ``pandas.DataFrame``. Needs pandas."""
        return import_module("pandas").DataFrame(list(self.spans(filter, since=since, until=until)))

    def _pages(self, question: str, key: str, limit: int | None, **parameters: object) -> Iterator[dict[str, Any]]:
        cursor = None
        left = limit
        while left is None or left > 0:
            rows = _PAGE if left is None else min(left, _PAGE)
            answer = self._ask(question, limit=rows, cursor=cursor, **parameters)
            for row in answer[key]:
                yield _timed(row)
            cursor = answer.get("next")
            if not cursor or not answer[key]:
                return
            if left is not None:
                left -= len(answer[key])


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its times as integers: JSON carries them as text."""
    times = ("start", "end", "first", "last", "time")
    return {
        key: int(value) if key in times and isinstance(value, str) and value.isdigit() else value
        for key, value in row.items()
    }


_KINDS = (
    "span",
    "workflow",
    "agent",
    "generation",
    "retrieval",
    "embedding",
    "rerank",
    "tool",
    "evaluator",
    "guardrail",
)
_STATUSES = ("ok", "error", "cancelled", "interrupted", "abandoned", "running", "lost")


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """One dictionary for each span, from the columns."""
    columns, trace = answer["spans"], answer["trace"]
    names, ids, began = columns["names"], columns["id"], int(trace["start"])

    def text(at: int) -> str | None:
        return names[at] if at >= 0 else None

    return [
        {
            "trace": trace["id"],
            "id": ids[at],
            "parent": ids[columns["parent"][at]] if columns["parent"][at] >= 0 else None,
            "name": text(columns["name"][at]),
            "kind": _KINDS[columns["kind"][at]],
            "status": _STATUSES[columns["status"][at]],
            "agent": text(columns["agent"][at]),
            "model": text(columns["model"][at]),
            "service": text(columns["service"][at]),
            "start": began + columns["start"][at],
            "duration": columns["duration"][at],
            "error": text(columns["error"][at]),
            "own_error": bool(columns["own_error"][at]),
            "input_tokens": columns["input_tokens"][at],
            "output_tokens": columns["output_tokens"][at],
            "cost": columns["cost"][at],
            "first_chunk": columns["first_chunk"][at],
        }
        for at in range(columns["n"])
    ]
