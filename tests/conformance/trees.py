"""Expected trees: how they are written, and how the spans that came are held against them. README.md has the rules.

A line of a `.tree` file is a span: its kind, its name, its status when that is not ok, and facts, indented by two
spaces below its parent. `#` begins a comment.

    agent researcher
      generation gpt-4o-mini in=12 out=5 finish=tool_calls
      tool look [error ValueError] call_id=call_1
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.conformance.conventions import KINDS, Seen

__all__ = ["Expected", "judge", "parse", "show"]

STATUSES = ("error", "cancelled", "interrupted")
_FACT = re.compile(r' (\w+)=("[^"]*"|[^\s"]+)')
_STATUS = re.compile(r" \[(\w+)(?: (\w+))?\]")


@dataclass
class Expected:
    """A line of a tree."""

    kind: str
    name: str
    status: str = "ok"
    error: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    children: list[Expected] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def all(self) -> list[Expected]:
        """This line and those below it."""
        return [self, *(line for child in self.children for line in child.all())]


def parse(text: str) -> list[Expected]:
    """The roots of a tree file."""
    roots: list[Expected] = []
    path: list[Expected] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].rstrip()
        if not line:
            continue
        depth, odd = divmod(len(line) - len(line.lstrip(" ")), 2)
        if odd or depth > len(path):
            raise ValueError(f"line {number}: indented by {2 * depth + odd} spaces below depth {len(path) - 1}")
        made = _line(line.strip(), number)
        del path[depth:]
        (path[-1].children if path else roots).append(made)
        path.append(made)
    return roots


def _line(text: str, number: int) -> Expected:
    kind, _, rest = text.partition(" ")
    if kind not in KINDS:
        raise ValueError(f"line {number}: {kind!r} is no kind; the kinds are {', '.join(KINDS)}")
    made = Expected(kind, "")
    for match in _FACT.finditer(rest):
        if match[1] not in FACTS:
            raise ValueError(f"line {number}: {match[1]!r} is no fact; the facts are {', '.join(FACTS)}")
        made.facts.append((match[1], match[2].strip('"')))
    rest = _FACT.sub("", rest)
    for match in _STATUS.finditer(rest):
        if match[1] not in STATUSES:
            raise ValueError(f"line {number}: {match[1]!r} is no status; the statuses are {', '.join(STATUSES)}")
        made.status, made.error = match[1], match[2] or ""
    made.name = _STATUS.sub("", rest).strip()
    return made


def judge(roots: Sequence[Expected], seen: Sequence[Seen]) -> list[str]:
    """What is wrong with the spans, one sentence each; empty when they are what is expected."""
    lines = [line for root in roots for line in root.all()]
    plain = {line.name for line in lines if line.kind == "span"}
    pairs: list[tuple[Expected, Seen]] = []
    problems = [f"{_of(span)} names a parent that never came" for span in seen if span.orphan]
    problems += _match(roots, [span for span in seen if span.parent is None], plain, seen, "as a root", pairs)

    matched = {id(span) for _, span in pairs}
    listed = {(line.kind, line.name) for line in lines}
    for span in seen:
        if id(span) in matched:
            continue
        known = (span.kind, span.name) in listed and not _inner_half(span)
        if span.kind != "span" or known:
            where = f"below {_of(span.parent)}" if span.parent else "as a root"
            problems.append(
                f"{_of(span)}: is {where}, where the tree has {'it not, or once only' if known else 'none'}"
            )
    traces = len({span.trace_id for span in seen})
    if traces > len(roots):
        problems.append(f"{traces} traces instead of {len(roots)}")
    return problems


def _match(
    lines: Sequence[Expected],
    top: Sequence[Seen],
    plain: set[str],
    seen: Sequence[Seen],
    where: str,
    pairs: list[tuple[Expected, Seen]],
) -> list[str]:
    """Finds a span for each line among `top` and what is below plain, unlisted ones; what is wrong with them."""
    candidates = list(_visible(top, plain))
    table: dict[tuple[int, int], tuple[list[str], list[tuple[Expected, Seen]]]] = {}
    for at, line in enumerate(lines):
        for to, span in enumerate(candidates):
            if line.name == span.name and (line.kind == span.kind or _named_agent(line, span)):
                found: list[tuple[Expected, Seen]] = [(line, span)]
                wrong = _facts(line, span, seen)
                wrong += _match(line.children, span.children, plain, seen, f"below {_of(span)}", found)
                table[at, to] = wrong, found
    chosen = _assign(len(lines), {pair: len(wrong) for pair, (wrong, _) in table.items()})
    problems: list[str] = []
    for at, line in enumerate(lines):
        if at in chosen:
            wrong, found = table[at, chosen[at]]
            problems += wrong
            pairs += found
        else:
            problems.append(f"{line}: missing {where}{_elsewhere(line, seen)}")
    return problems


def _visible(spans: Sequence[Seen], plain: set[str]) -> list[Seen]:
    found = []
    for span in spans:
        found.append(span)
        if span.kind == "span" and (span.name not in plain or _inner_half(span)):
            found += _visible(span.children, plain)
    return found


def _named_agent(line: Expected, span: Seen) -> bool:
    """Whether to call the step an agent is a matter of taste."""
    return line.kind == "span" and span.kind == "agent"


def _inner_half(span: Seen) -> bool:
    """Whether a plain span is the inside of an agent's span of the same name: two views of one run."""
    return span.parent is not None and (span.parent.kind, span.parent.name) == ("agent", span.name)


def _assign(count: int, costs: dict[tuple[int, int], int]) -> dict[int, int]:
    """A span for each line: as many without a fault as possible, then those with the fewest."""
    owner: dict[int, int] = {}

    def settle(line: int, tried: set[int]) -> bool:
        for (at, to), cost in costs.items():
            if at == line and cost == 0 and to not in tried:
                tried.add(to)
                if to not in owner or settle(owner[to], tried):
                    owner[to] = line
                    return True
        return False

    for line in range(count):
        settle(line, set())
    chosen = {line: span for span, line in owner.items()}
    for (line, span), _ in sorted(costs.items(), key=lambda item: item[1]):
        if line not in chosen and span not in owner:
            chosen[line] = span
            owner[span] = line
    return chosen


def _elsewhere(line: Expected, seen: Sequence[Seen]) -> str:
    same = [span for span in seen if span.name == line.name]
    if found := [span for span in same if span.kind == line.kind]:
        return f"; one is below {_of(found[0].parent)}" if found[0].parent else "; one is a root"
    return f"; {_of(same[0])} is there" if same else ""


def _of(span: Seen | None) -> str:
    return "nothing" if span is None else f"{span.kind} {span.name}"


def _facts(line: Expected, span: Seen, seen: Sequence[Seen]) -> list[str]:
    problems = []
    status = span.status
    if line.status in ("cancelled", "interrupted") and not span.has_words and status == "ok":
        # No convention but ironspan's has words for these. What counts is that the span ended, and is no failure.
        status = line.status
    if status != line.status:
        problems.append(f"{line}: is {status} instead of {line.status}")
    elif line.error and line.error not in span.failure:
        problems.append(f"{line}: does not say {line.error}")
    for name, value in line.facts:
        found = FACTS[name](span, value, seen)
        if found is not None:
            problems.append(f"{line}: {name} is {found} instead of {value}")
    return problems


#: A fact takes the span, the expected value and all spans, and returns what is there instead, or None.
Check = Callable[[Seen, str, Sequence[Seen]], "str | None"]


def _number(name: str) -> Check:
    def check(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
        found = span.tokens(name)
        # Nothing said and a zero are the same to a reader who adds up.
        return None if (found or 0) == int(value) else str(found)

    return check


def _text(read: str) -> Check:
    def check(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
        texts = getattr(span, read)()
        # An attachment may be an address, with what it is in the query.
        return None if any(value in text or value in unquote(text) for text in texts) else _short(texts)

    return check


def _without(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
    return "there" if any(value in text for text in span.output()) else None


def _one_of(read: str) -> Check:
    def check(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
        found = getattr(span, read)()
        return None if value in found else " ".join(sorted(found)) or "not there"

    return check


def _documents(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
    found = span.documents()
    return None if found == int(value) else str(found)


def _event(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
    names = {name for name, _ in span.received.events} | {child.name for child in span.children}
    return None if value in names else "not there"


def _links(span: Seen, value: str, seen: Sequence[Seen]) -> str | None:
    others = [other for other in seen if other.name == value and other is not span]
    linked = {span_id for _, span_id, _ in span.received.links}
    met = any(other.trace_id == span.trace_id or other.received.span_id in linked for other in others)
    return None if met else "not there"


def _short(texts: Sequence[str]) -> str:
    return " | ".join(text if len(text) <= 60 else text[:57] + "..." for text in texts[:3]) or "not there"


FACTS = {
    **{name: _number(name) for name in ("in", "out", "cached", "cache_write", "reasoning")},
    "finish": _one_of("finish"),
    "text": _text("output"),
    "without": _without,
    "asks": _text("input"),
    "has": _text("everything"),
    "call_id": _text("everything"),
    "session": _one_of("sessions"),
    "docs": _documents,
    "event": _event,
    "links": _links,
}


def show(seen: Sequence[Seen]) -> str:
    """The spans as they came, in the form of a tree file."""

    def render(span: Seen, depth: int) -> str:
        status = "" if span.status == "ok" else f" [{span.status}]"
        numbers = ((name, span.tokens(name)) for name in ("in", "out", "cached", "cache_write", "reasoning"))
        facts = "".join(f" {name}={value}" for name, value in numbers if value)
        line = f"{'  ' * depth}{span.kind} {span.name}{status}{facts}\n"
        return line + "".join(render(child, depth + 1) for child in span.children)

    return "".join(render(span, 0) for span in seen if span.parent is None)
