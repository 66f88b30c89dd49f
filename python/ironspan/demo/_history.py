"""Made-up traces with given times: a day of varied work for dashboards and error lists, and one trace of any size.

Everything but the hour follows from the seed. Nothing here waits: a span starts and ends at the time it is told.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ironspan
from ironspan.demo._model import price

__all__ = ["big", "history"]

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_USERS = ("ada", "bela", "chidi", "dora", "emre", "fatima", "goran", "hana", "ines", "jun", "kofi", "lena")
#: Spans between two looks whether the destinations keep up.
_FLUSH_EVERY = 5_000
_CUTS = ("stop", "stop", "stop", "stop", "stop", "stop", "stop", "length")


class _Failed(Exception):
    """A step failed and nobody caught it: what is around it fails with the same error."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class RateLimitError(Exception):
    """As providers name it."""

    __module__ = "anthropic"


class OperationalError(Exception):
    """As databases name it."""

    __module__ = "sqlite3"


class _Trace:
    """Builds one trace on a clock of its own.

    Args:
        rng: Where chance comes from.
        at: When it begins, Unix nanoseconds.
        slow: How much longer model calls and tools take than usual.
    """

    def __init__(self, rng: random.Random, at: int, slow: float = 1.0) -> None:
        self.rng = rng
        self.at = at
        self.slow = slow
        self.spans = 0
        self._above: list[ironspan.Span] = []

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _spend(self, seconds: float) -> None:
        self.at += int(self.rng.lognormvariate(math.log(seconds * self.slow), 0.45) * _SECOND)

    @contextmanager
    def inside(self, span: ironspan.Span) -> Iterator[ironspan.Span]:
        """What is made below belongs to `span`, which ends with the last of it."""
        self.spans += 1
        span.start(self.at)
        self._above.append(span)
        try:
            yield span
        except _Failed as failed:
            span.error(failed.error)
            raise
        finally:
            self._above.pop()
            span.end(self.at)

    @property
    def above(self) -> ironspan.Span | None:
        return self._above[-1] if self._above else None

    def agent(self, name: str, task: str) -> ironspan.Span:
        return ironspan.agent(name, input=task, parent=self.above)

    def model(
        self, name: str, model: str, provider: str, asked: str, said: str, *, seconds: float, size: tuple[int, int]
    ) -> None:
        """A call of a model; `size` are the usual numbers of tokens."""
        messages = [{"role": "system", "content": f"You {name.replace('_', ' ')}."}, {"role": "user", "content": asked}]
        span = ironspan.generation(model, provider=provider, name=name, messages=messages, parent=self.above)
        with self.inside(span):
            self._spend(seconds)
            sent, told = (max(1, int(self.rng.lognormvariate(math.log(usual), 0.35))) for usual in size)
            cached = sent // 2 if self.chance(0.3) else None
            span.usage(input=sent, output=told, cached=cached)
            cost = price(model, sent, told)
            if cost is not None:
                span.cost(total=cost)
            span.output(said).finish(self.rng.choice(_CUTS))

    def refused(self, name: str, model: str, provider: str, asked: str) -> None:
        """A call that the provider turns away."""
        span = ironspan.generation(model, provider=provider, name=name, messages=asked, parent=self.above)
        with self.inside(span):
            self._spend(0.3)
            raise _Failed(
                RateLimitError(f"429: rate limit of {model} reached, try again in {self.rng.randint(1, 30)} s")
            )

    def tool(
        self, name: str, arguments: object, result: object, *, seconds: float, error: Exception | None = None
    ) -> None:
        """A call of a tool, which fails with `error` if there is one."""
        span = ironspan.tool(name, arguments=arguments, parent=self.above)
        with self.inside(span):
            self._spend(seconds)
            if error is not None:
                raise _Failed(error)
            span.output(result)

    def retried(
        self, name: str, arguments: object, result: object, *, seconds: float, share: float, error: Exception
    ) -> None:
        """A call that fails now and then, up to three times."""
        for attempt in range(3):
            failure = error if self.chance(share) else None
            try:
                self.tool(name, arguments, result, seconds=seconds, error=failure)
            except _Failed:
                if attempt == 2:
                    raise
            else:
                return

    def search(self, query: str, source: str, found: Sequence[str]) -> None:
        span = ironspan.retrieval(query, source=source, top_k=len(found), name=f"search_{source}", parent=self.above)
        with self.inside(span):
            self._spend(0.15)
            scored = sorted((round(self.rng.uniform(0.4, 0.95), 3) for _ in found), reverse=True)
            span.documents(
                [{"id": f"{source}/{at}", "content": text, "score": scored[at]} for at, text in enumerate(found)]
            )

    def simple(self, span: ironspan.Span, seconds: float, output: object) -> None:
        """A step of another kind."""
        with self.inside(span):
            self._spend(seconds)
            span.output(output)

    def together(self, *branches: Callable[[], None]) -> None:
        """Side by side: each begins now, and it goes on when the last has ended."""
        begin, ends, failure = self.at, [], None
        for branch in branches:
            self.at = begin
            try:
                branch()
            except _Failed as failed:
                failure = failed
            ends.append(self.at)
        self.at = max(ends)
        if failure is not None:
            raise failure


def _support(trace: _Trace, question: str) -> str:
    def researcher() -> None:
        with trace.inside(trace.agent("researcher", question)):
            trace.search(question, "notes", ("SQLite is one file.", "Postgres is a server.", "Cap the store by age."))
            trace.retried(
                "web_search",
                {"query": question},
                ["three results"],
                seconds=0.8,
                share=0.22,
                error=TimeoutError(f"web_search timed out after {trace.rng.randint(800, 2400)} ms"),
            )
            trace.model("summarise", "gpt-4o-mini", "openai", question, "Four facts.", seconds=1.6, size=(1400, 160))

    def coder() -> None:
        with trace.inside(trace.agent("coder", question)):
            trace.model("write_code", "gpt-4o", "openai", question, "A program.", seconds=2.3, size=(900, 320))
            missing = ModuleNotFoundError(f"No module named '{trace.rng.choice(('tqdm', 'numpy', 'pandas', 'rich'))}'")
            try:
                failure = missing if trace.chance(0.25) else None
                trace.tool("run_python", {"code": "..."}, "{}", seconds=1.2, error=failure)
            except _Failed:
                trace.model("fix_code", "gpt-4o", "openai", str(missing), "Without it.", seconds=1.0, size=(1300, 130))
                again = missing if trace.chance(0.12) else None
                trace.tool("run_python", {"code": "..."}, "{}", seconds=1.2, error=again)

    with trace.inside(trace.agent("manager", question)):
        trace.model("plan", "gpt-4o", "openai", question, "Two tasks.", seconds=1.1, size=(420, 96))
        trace.together(researcher, coder)
        trace.model("synthesise", "gpt-4o", "openai", question, "The answer.", seconds=1.5, size=(2100, 240))
        trace.simple(
            ironspan.span("faithfulness_check", kind="evaluator", parent=trace.above),
            0.5,
            {"score": round(trace.rng.uniform(0.6, 1.0), 2)},
        )
    return "The answer, with its sources."


def _triage(trace: _Trace, question: str) -> str:
    with trace.inside(trace.agent("triage", question)):
        trace.simple(
            ironspan.span("personal_data", kind="guardrail", parent=trace.above), 0.04, {"found": trace.chance(0.2)}
        )
        trace.model("classify", "gpt-4o-mini", "openai", question, "refund", seconds=0.6, size=(350, 8))
        reset = ConnectionResetError(104, "Connection reset by peer")
        trace.retried("crm_lookup", {"mail": "a@example.com"}, {"orders": 3}, seconds=0.2, share=0.08, error=reset)
        with trace.inside(trace.agent("responder", question)):
            if trace.chance(0.04):
                trace.refused("reply", "claude-haiku-4-5", "anthropic", question)
            trace.model("reply", "claude-haiku-4-5", "anthropic", question, "Dear ...", seconds=1.2, size=(800, 210))
    return "The refund is on its way."


def _report(trace: _Trace, question: str) -> str:
    with trace.inside(trace.agent("analyst", question)):
        for attempt in range(3):
            trace.model(
                "write_sql", "claude-sonnet-4-5", "anthropic", question, "SELECT ...", seconds=2.0, size=(2600, 180)
            )
            column = trace.rng.choice(("revenu", "costumer_id", "created"))
            wrong = OperationalError(f"no such column: {column}") if trace.chance(0.3) else None
            try:
                trace.tool("run_sql", {"sql": f"SELECT {column} FROM orders"}, "42 rows", seconds=0.4, error=wrong)
            except _Failed:
                if attempt == 2:
                    raise
            else:
                break
        trace.model("explain", "gemini-2.5-flash", "gcp.gemini", question, "It grew.", seconds=0.9, size=(1500, 220))
    return "Revenue grew by 4 % over last week."


def _research(trace: _Trace, question: str) -> str:
    def worker(number: int) -> Callable[[], None]:
        def work() -> None:
            with trace.inside(trace.agent(f"worker_{number}", question)):
                for _ in range(trace.rng.randint(2, 6)):
                    trace.model("think", "o4-mini", "openai", question, "Look there.", seconds=3.0, size=(3000, 700))
                    slow = TimeoutError("the page did not answer within 10 s")
                    trace.retried(
                        "open_page", {"url": "https://example.com"}, "text", seconds=1.0, share=0.15, error=slow
                    )

        return work

    with trace.inside(trace.agent("lead", question)):
        trace.model("plan", "o4-mini", "openai", question, "Some tasks.", seconds=4.0, size=(800, 900))
        trace.together(*(worker(number) for number in range(1, trace.rng.randint(2, 5) + 1)))
        trace.simple(ironspan.span("rank_findings", kind="rerank", parent=trace.above), 0.3, ["second", "first"])
        trace.model("write", "claude-sonnet-4-5", "anthropic", question, "A report.", seconds=9.0, size=(9000, 1800))
    return "A report of three pages."


def _chat(trace: _Trace, question: str) -> str:
    with trace.inside(trace.agent("assistant", question)):
        trace.search(question, "handbook", ("Parcels leave on weekdays.", "Refunds take five days."))
        # A model of one's own has no price.
        trace.model("answer", "llama-3.3-70b", "vllm", question, "On weekdays.", seconds=1.8, size=(700, 140))
    return "Parcels leave on weekdays."


_WORKFLOWS: tuple[tuple[int, str, Callable[[_Trace, str], str], tuple[str, ...]], ...] = (
    (36, "support_workflow", _support, ("Which database for our traces?", "Why does checkout take two seconds?")),
    (26, "email_triage", _triage, ("Where is my refund?", "The parcel arrived open.", "Please change my address.")),
    (15, "sql_report", _report, ("Revenue by country last week", "Orders with a discount of more than half")),
    (7, "deep_research", _research, ("What do local trace stores have in common?",)),
    (16, "chat", _chat, ("When do parcels leave?", "How long does a refund take?", "Do you ship to Norway?")),
)


def history(count: int, *, until: int, seed: int = 7, told: Callable[[int], object] = lambda done: None) -> int:
    """Records `count` traces that ended in the day before `until` (Unix nanoseconds). Returns how many spans they have.

    `told` is called with the number of traces so far, after each.

    The last two fifths of the day run release 2.15, whose models answer more slowly.
    """
    rng = random.Random(seed)
    total = unsettled = 0
    weights = [weight for weight, *_ in _WORKFLOWS]
    for number in range(count):
        share = (number + rng.random()) / count
        # Busy and quiet hours.
        share -= 0.07 * math.sin(2 * math.pi * share)
        # Room for the longest at the end, so that nothing ends after `until`.
        begin = until - _DAY + int(share * (_DAY - 300 * _SECOND))
        is_late = share > 0.6
        _, name, body, questions = rng.choices(_WORKFLOWS, weights)[0]
        user = rng.choice(_USERS)
        session = f"{name.partition('_')[0]}-{user}-{number * 6 // max(count, 1)}"
        release = "2.15" if is_late else "2.14"
        tags = [rng.choice(("prod", "prod", "prod", "staging")), f"release:{release}"]
        trace = _Trace(rng, begin, slow=1.4 if is_late else 1.0)
        question = rng.choice(questions)
        with ironspan.scope(session=session, user=user):
            span = ironspan.workflow(name, input=question, tags=tags)
            try:
                with trace.inside(span):
                    span.output(body(trace, question))
            except _Failed:
                pass
        total += trace.spans
        unsettled += trace.spans
        if unsettled >= _FLUSH_EVERY:
            ironspan.flush(60.0)
            unsettled = 0
        told(number + 1)
    ironspan.flush(60.0)
    return total


def big(count: int, *, until: int, seed: int = 7, told: Callable[[int], object] = lambda done: None) -> str:
    """Records one trace of exactly `count` spans that ended before `until`. Returns its id.

    `told` is called with the number of spans so far, after each part.
    """
    rng = random.Random(seed)
    # Half a second a span and a fifth of the spans in sequence: an estimate that only has to keep it in the past.
    trace = _Trace(rng, until - count * _SECOND - 60 * _SECOND)
    root = ironspan.workflow("deep_research_loop", input=f"Read {count} things.", tags=["demo", "big"])
    unsettled = 0
    with ironspan.scope(session="sess-big", user="ada"), trace.inside(root):
        number = 0
        while trace.spans < count:
            number += 1
            with trace.inside(trace.agent(f"worker_{number % 6 + 1}", f"part {number}")):
                for _ in range(rng.randint(1, 6)):
                    if trace.spans >= count:
                        break
                    trace.model("think", "gpt-4o-mini", "openai", "What next?", "Look.", seconds=0.3, size=(900, 60))
                    for _ in range(min(rng.randint(0, 3), count - trace.spans)):
                        slow = TimeoutError("no answer within 500 ms") if trace.chance(0.03) else None
                        try:
                            trace.tool("open_page", {"page": trace.spans}, "text", seconds=0.15, error=slow)
                        except _Failed:
                            continue
            unsettled += 1
            if unsettled >= _FLUSH_EVERY // 10:
                ironspan.flush(60.0)
                unsettled = 0
            told(trace.spans)
        root.output(f"{number} parts were read.")
    ironspan.flush(60.0)
    return root.trace_id
