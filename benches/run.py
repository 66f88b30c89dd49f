#!/usr/bin/env python3
"""Runs every bench in a process of its own and writes one table. `make bench` calls this.

    python benches/run.py [--quick] [--only NAME,NAME] [--output FILE]

Exit code 1 when a bar is missed, 2 when a bench broke or had nothing to judge. Each bench also runs alone:
`python -m benches.caller_cost`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benches.measure import Row, environment, table  # noqa: E402

BENCHES = (
    "caller_cost",
    "caller_cost_paced",
    "process_cost",
    "burst",
    "chat_history",
    "unreachable",
    "exit_time",
    "import_cost",
    "not_recorded",
    "store_cost",
    "store_read",
    "page",
    "viewers",
    "first_trace",
    "frameworks",
    "framework_memory",
    "concurrent_requests",
    "wheel_size",
)


def run(name: str, quick: bool) -> tuple[list[Row], str | None]:
    """Rows of one bench, and what went wrong if it did not come to a verdict."""
    command = [sys.executable, "-m", f"benches.{name}", "--json", *(["--quick"] if quick else [])]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    rows = [Row(**json.loads(line)) for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode in (0, 1) and rows:
        return rows, None
    return rows, "nothing to judge" if result.returncode == 2 else f"ended with exit code {result.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; the bars stay")
    parser.add_argument("--only", default="", help=f"some of {', '.join(BENCHES)}")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    chosen = parser.parse_args()
    names = [name for name in chosen.only.split(",") if name] or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    about = environment()
    rows: list[Row] = []
    broken = []
    for name in names:
        began = time.monotonic()
        found, trouble = run(name, chosen.quick)
        rows += found
        if trouble:
            broken.append(f"{name}: {trouble}")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    missed = [row for row in rows if row.passed is False]
    judged = [row for row in rows if row.passed is not None]
    lines = [f"- {name}: {value}" for name, value in about.items()]
    lines += ["", table(rows), "", f"{len(judged) - len(missed)} of {len(judged)} bars met."]
    lines += [f"Missed: {row.what} ({row.subject})." for row in missed] + [f"Not judged: {text}." for text in broken]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)
    return 1 if missed else 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
