"""Traces as text, so that a test can say what the tree has to look like."""

from __future__ import annotations

from collections.abc import Iterable

from ironspan.testing import FinishedSpan

#: What the conventions put in front of a step's own name.
_OPERATIONS = (
    "invoke_agent ",
    "invoke_workflow ",
    "execute_tool ",
    "text_completion ",
    "retrieval ",
    "embeddings ",
    "chat ",
)


def outline(spans: Iterable[FinishedSpan], *, sort: bool = False) -> str:
    """One line per span: kind, name, and the status when it is not ok; indented below its parent.

    Siblings stand in the order in which they began, or by their text with `sort`, for steps that run side by side.
    """
    known = {span.span_id: span for span in spans}
    below: dict[str | None, list[FinishedSpan]] = {}
    for span in known.values():
        below.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)

    def render(span: FinishedSpan, depth: int) -> str:
        name = own_name(span)
        status = "" if span.status == "ok" else f" [{span.status}]"
        return f"{'  ' * depth}{span.kind} {name}{status}\n" + children(span.span_id, depth + 1)

    def children(parent: str | None, depth: int) -> str:
        siblings = sorted(below.get(parent, ()), key=lambda span: span.start_ns)
        lines = [render(span, depth) for span in siblings]
        return "".join(sorted(lines) if sort else lines)

    return children(None, 0)


def own_name(span: FinishedSpan) -> str:
    """The name of the step, without the operation."""
    name: str = span.name
    for operation in _OPERATIONS:
        name = name.removeprefix(operation)
    return name


def only(spans: Iterable[FinishedSpan], kind: str, name: str = "") -> FinishedSpan:
    """The one span of that kind, and of that name if one is given."""
    found = [span for span in spans if span.kind == kind and name in ("", own_name(span))]
    assert len(found) == 1, f"{len(found)} spans of kind {kind} named {name!r}"
    return found[0]
