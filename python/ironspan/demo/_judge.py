"""The demo's judge, a process of its own: reads an order as JSON from standard input, writes the score as JSON.

Its span joins the trace of the process that asked, because the order carries that process's headers.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ironspan
from ironspan.demo._model import Pace
from ironspan.demo._tools import words

__all__ = ["faithfulness", "main"]


def faithfulness(answer: str, sources: list[str]) -> tuple[float, list[str]]:
    """The share of the answer's words that its sources have, and the words that they lack."""
    known = set(words(" ".join(sources)))
    said = sorted(set(words(answer)))
    lacking = [word for word in said if word not in known]
    return round(1 - len(lacking) / max(len(said), 1), 2), lacking


def judge(order: dict[str, Any]) -> float:
    """The score, as a span."""
    with (
        ironspan.attach(ironspan.extract(order["headers"])),
        ironspan.span(
            "faithfulness_check",
            kind="evaluator",
            input={name: order[name] for name in ("question", "answer", "sources")},
            attributes={"gen_ai.evaluation.name": "faithfulness"},
        ) as span,
    ):
        Pace(float(order["speed"])).wait(0.55)
        score, lacking = faithfulness(order["answer"], order["sources"])
        verdict = "pass" if score >= 0.8 else "fail"
        result: dict[str, Any] = {
            "gen_ai.evaluation.name": "faithfulness",
            "gen_ai.evaluation.score.value": score,
            "gen_ai.evaluation.score.label": verdict,
        }
        span.event("gen_ai.evaluation.result", **result)
        span.output({"score": score, "verdict": verdict, "without support": lacking})
    return score


def main() -> None:
    """Reads the order, judges, answers."""
    order = json.load(sys.stdin)
    options: dict[str, Any] = dict(order["init"])
    exporters: list[Any] = []
    if options.get("file"):
        exporters.append(ironspan.exporters.File(options["file"]))
    if options.get("otlp"):
        exporters.append(ironspan.exporters.Otlp(options["otlp"]))
    ironspan.init("demo-judge", exporters=exporters, store=options.get("store"), environment="demo")
    score = judge(order)
    ironspan.shutdown(5.0)
    json.dump({"score": score}, sys.stdout)


if __name__ == "__main__":
    main()
