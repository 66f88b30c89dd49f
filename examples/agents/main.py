"""Three agents look into a slow checkout, and ironspan shows what they did.

    python examples/agents/main.py

Runs offline, without keys, the same every time. Prints the trace as a tree, what became of its spans, and where the
trace was written as OTLP JSON lines. With OTEL_EXPORTER_OTLP_ENDPOINT set, it is sent there too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import ironspan
import team
from ironspan.langchain import CallbackHandler

QUESTION = (
    "Checkout became slower after release 2.15.0, which changed the connection pool. Is that real, and what do we do?"
)


def configure(path: Path) -> None:
    """The console, a file, and a collector when the environment names one."""
    path.unlink(missing_ok=True)
    exporters = [ironspan.exporters.Console("tree"), ironspan.exporters.File(path)]
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        exporters.append(ironspan.exporters.Otlp())
    ironspan.init("checkout-investigation", exporters=exporters)


async def review_and_write(answer: str) -> str:
    """Both reviewers at once, then the note as it is written."""
    reviews = await team.reviewers().ainvoke({"answer": answer}, {"callbacks": [CallbackHandler()]})
    with ironspan.span("publish", attributes={"channel": "#checkout"}) as span:
        pieces = [
            piece
            async for piece in team.writer().astream(
                {"answer": answer, "reviews": " ".join(reviews.values())}, {"callbacks": [CallbackHandler()]}
            )
        ]
        span.set("note.words", len("".join(pieces).split()))
    return "".join(pieces)


def investigate() -> str:
    """One question, one trace."""
    with (
        ironspan.scope(session="incident-4711", user="on-call"),
        ironspan.workflow("investigate", input=QUESTION) as run,
    ):
        state = team.manager().invoke({"messages": [("user", QUESTION)]}, {"callbacks": [CallbackHandler()]})
        note = asyncio.run(review_and_write(str(state["messages"][-1].content)))
        run.output(note)
    return note


def main() -> None:
    """Run the team and show the trace."""
    options = argparse.ArgumentParser(description="Three agents look into a slow checkout.")
    options.add_argument("--otlp-file", type=Path, default=Path("checkout-investigation.jsonl"), metavar="FILE.jsonl")
    path: Path = options.parse_args().otlp_file
    configure(path)
    note = investigate()
    ironspan.shutdown()
    print(f"\n{note}\n")
    ledger = ironspan.stats()
    dropped = sum(ledger["dropped"].values())
    print(
        f"spans: {ledger['created']} created = {ledger['delivered']} delivered + {ledger['rejected']} rejected "
        f"+ {dropped} dropped + {ledger['pending']} pending"
    )
    print(f"trace: {path.resolve()} (OTLP JSON lines)")


if __name__ == "__main__":
    main()
