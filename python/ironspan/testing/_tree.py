"""Traces as text, for comparing by eye and by ``assert``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ironspan.testing._memory import FinishedSpan

__all__ = ["tree"]


def tree(spans: Iterable[FinishedSpan], *, attributes: Sequence[str] = ()) -> str:
    """One line a span, indented under its parent, siblings in the order of their start.

    Args:
        spans: Finished spans, of any number of traces.
        attributes: Names of attributes to show behind the name.

    Returns:
        Lines such as ``agent researcher [error: no such page]``: kind and name, and the status where it is not ok. The
        operation that the wire puts before a name (``execute_tool``) is left out, since the kind says it. A span whose
        parent is not among ``spans`` stands as a root with ``^`` before it.
    """
    ordered = sorted(enumerate(spans), key=lambda pair: (pair[1].start_ns, pair[0]))
    everything = [span for _, span in ordered]
    known = {span.span_id for span in everything}
    children: dict[str | None, list[FinishedSpan]] = {}
    for span in everything:
        children.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    lines: list[str] = []

    # A loop and not recursion: a trace may be deeper than the interpreter's stack.
    stack = [(span, 0) for span in reversed(children.get(None, []))]
    while stack:
        span, depth = stack.pop()
        orphan = "^" if span.parent_id is not None and span.parent_id not in known else ""
        lines.append("  " * depth + orphan + _line(span, attributes))
        stack.extend((child, depth + 1) for child in reversed(children.get(span.span_id, [])))
    return "\n".join(lines)


_OPERATIONS = {
    "workflow": "invoke_workflow ",
    "agent": "invoke_agent ",
    "generation": "chat ",
    "retrieval": "retrieval ",
    "embedding": "embeddings ",
    "tool": "execute_tool ",
}


def _line(span: FinishedSpan, attributes: Sequence[str]) -> str:
    name = span.name.removeprefix(_OPERATIONS.get(span.kind, ""))
    parts = [f"{span.kind} {name}"]
    parts.extend(f"{key}={span.attributes[key]!r}" for key in attributes if key in span.attributes)
    if span.status == "error":
        parts.append(f"[error: {span.status_message}]")
    elif span.status != "ok":
        parts.append(f"[{span.status}]")
    return " ".join(parts)
