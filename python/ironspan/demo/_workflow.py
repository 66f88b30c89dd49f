"""The demo's workflow: a manager, a researcher and a coder side by side, and a judge in another process.

    support_workflow
      manager
        plan                      two calls: delegate to researcher, delegate to coder
        researcher | coder        two threads
        synthesise
        faithfulness_check        another process, joined by its headers

Three things fail on the way and are dealt with: the web search times out twice, and the first program needs a package
that the sandbox does not have.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import ironspan
from ironspan.demo import _script as script
from ironspan.demo._model import Pace, Reply, chat, stream
from ironspan.demo._tools import Web, embed, run_python, vector_search, web_search

__all__ = ["Finished", "Job", "judged", "run"]

_ATTEMPTS = 3


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        question: What the user asks.
        pace: How long steps take.
        session: The conversation.
        user: Who asks.
        fail_hard: Whether the coder's repair fails, too, and the run with it.
        child: Options of ``ironspan.init`` for the judge's process, as JSON can hold them; see ``_judge``.
    """

    question: str = script.QUESTION
    pace: Pace = field(default_factory=Pace)
    session: str = "sess-demo"
    user: str = "ada"
    fail_hard: bool = False
    child: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What came of a run.

    Attributes:
        trace_id: The trace.
        answer: What the user is told.
        score: The judge's, 0 to 1; None when there was no answer to judge.
        error: Why the run failed.
    """

    trace_id: str
    answer: str = ""
    score: float | None = None
    error: Exception | None = None


def run(job: Job) -> Finished:
    """Runs the workflow once, as one trace. A failure of the agents is part of the result."""
    span = ironspan.workflow("support_workflow", input=job.question, tags=["demo"])
    try:
        with ironspan.scope(session=job.session, user=job.user), span:
            answer, score = _manager(job)
            span.output(answer)
    except Exception as error:
        return Finished(span.trace_id, error=error)
    return Finished(span.trace_id, answer, score)


def _manager(job: Job) -> tuple[str, float]:
    with ironspan.agent("manager", role="plans, delegates, answers", input=job.question) as manager:
        asked = [{"role": "system", "content": script.MANAGER}, {"role": "user", "content": job.question}]
        plan = chat(
            "plan",
            "gpt-4o",
            asked,
            Reply(script.PLAN, script.DELEGATIONS),
            seconds=1.18,
            pace=job.pace,
            tools=script.DELEGATE,
        )
        facts, measured = _side_by_side(job)
        results = zip(plan.calls, (facts, measured), strict=True)
        messages = [
            *asked,
            plan.message(),
            *({"role": "tool", "tool_call_id": call["id"], "content": said} for call, said in results),
        ]
        reply = Reply(script.answer(measured))
        answer = "".join(stream("synthesise", "gpt-4o", messages, reply, seconds=1.54, pace=job.pace))
        score = judged(job, answer, [facts, measured])
        manager.output(answer)
    return answer, score


def _side_by_side(job: Job) -> tuple[str, str]:
    """Researcher and coder in a thread each: both find the manager's span without being given it."""
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="agent") as threads:
        facts: Future[str] = threads.submit(_researcher, job)
        measured: Future[str] = threads.submit(_coder, job)
        try:
            return facts.result(), measured.result()
        except KeyboardInterrupt:
            job.pace.stopped.set()
            raise


def _researcher(job: Job) -> str:
    task = script.TASKS["researcher"]
    with ironspan.agent("researcher", role="finds facts", input=task) as researcher:
        vector = embed(task, job.pace)
        notes = vector_search(task, vector, job.pace)
        found = list(_searched(job))
        messages = [
            {"role": "system", "content": script.RESEARCHER},
            {"role": "user", "content": task},
            {"role": "user", "content": json.dumps({"notes": notes, "web": found}, indent=1)},
        ]
        summary = chat("summarise", "gpt-4o-mini", messages, Reply(script.FACTS), seconds=1.69, pace=job.pace)
        researcher.output(summary.text)
    return summary.text


def _searched(job: Job) -> Iterator[dict[str, str]]:
    """The web search, with its retries: a failed attempt is a span, and no end of the run."""
    web = Web()
    for attempt in itertools.count(1):
        try:
            yield from web_search(web, script.WEB_QUERY, job.pace, attempt=attempt)
        except TimeoutError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def _coder(job: Job) -> str:
    task = script.TASKS["coder"]
    with ironspan.agent("coder", role="writes and runs programs", input=task) as coder:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": script.CODER},
            {"role": "user", "content": task},
        ]
        first = chat(
            "write_code", "gpt-4o", messages, script.written(), seconds=2.45, pace=job.pace, tools=script.RUN_PYTHON
        )
        (call,) = first.calls
        try:
            printed = run_python(script.PROGRAM, job.pace, seconds=1.27, call_id=call["id"])
        except ModuleNotFoundError as error:
            messages += [
                first.message(),
                {"role": "tool", "tool_call_id": call["id"], "content": f"ModuleNotFoundError: {error}"},
            ]
            fixed = chat(
                "fix_code",
                "gpt-4o",
                messages,
                script.repaired(job.fail_hard),
                seconds=0.98,
                pace=job.pace,
                tools=script.RUN_PYTHON,
            )
            (call,) = fixed.calls
            code = json.loads(call["function"]["arguments"])["code"]
            printed = run_python(code, job.pace, seconds=1.33, call_id=call["id"])
        coder.output(printed)
    return printed


def judged(job: Job, answer: str, sources: list[str]) -> float:
    """The score of the answer, from a process of its own, which gets the trace along in its headers."""
    order = {
        "headers": ironspan.inject({}),
        "answer": answer,
        "sources": sources,
        "question": job.question,
        "speed": job.pace.speed,
        "init": job.child,
    }
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "ironspan.demo._judge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
        stack.callback(process.kill)
        out, problems = process.communicate(json.dumps(order), timeout=60)
    if process.returncode != 0:
        raise RuntimeError(f"the judge's process failed: {problems.strip().rpartition(chr(10))[2]}")
    return float(json.loads(out)["score"])
