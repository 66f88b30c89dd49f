"""How long is it from a wheel at hand to the first trace on the screen?

In an empty virtual environment: `pip install` of the wheel, a first program, `ironspan show last`. Nothing is
downloaded, since ironspan needs no other package. The wheel is that of `wheel_size`. The bar: 10 s for all three.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.measure import Row, main, quartiles
from benches.wheel_size import newest

__all__ = ["measure"]

_PROGRAM = """
import ironspan

ironspan.init("quickstart")
with ironspan.agent("researcher"), ironspan.generation("gpt-4o", provider="openai", messages="What is 6 x 7?") as call:
    call.output("42").usage(input=9, output=1)
"""
_WHOLE = "wheel at hand to first trace on the screen"


def _once(wheel: Path) -> dict[str, float]:
    """Seconds of each step, and of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        venv, program = Path(folder, "venv"), Path(folder, "program.py")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        program.write_text(_PROGRAM)
        bin = venv / ("Scripts" if os.name == "nt" else "bin")
        # Nothing from outside may take part: PYTHONPATH could hold another ironspan.
        others = ("OTEL_", "IRONSPAN_", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        environment = {**kept, "IRONSPAN_STORE": str(Path(folder, "traces.db"))}
        steps = {
            "pip install": [bin / "python", "-m", "pip", "install", "--quiet", "--no-index", wheel],
            "first program": [bin / "python", program],
            "ironspan show last": [bin / "ironspan", "show", "last"],
        }
        seconds = {}
        for step, command in steps.items():
            began = time.monotonic()
            done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
            seconds[step] = time.monotonic() - began
        assert "researcher" in done.stdout, done.stdout
    return {_WHOLE: sum(seconds.values()), **seconds}


def measure(quick: bool) -> list[Row]:
    wheel = newest()
    if wheel is None:
        return [Row(_WHOLE, "ironspan", None, "s", note="no wheel: RELEASE=1 scripts/wheel builds one")]
    rounds = [_once(wheel.resolve()) for _ in range(2 if quick else 5)]
    rows = []
    for step in rounds[0]:
        low, middle, high = quartiles([seconds[step] for seconds in rounds])
        rows.append(Row(step if step == _WHOLE else f"of that, {step}", "ironspan", middle, "s", low, high))
    rows[0].bar, rows[0].passed = "at most 10 s", (rows[0].value or 0) <= 10
    rows[0].note = wheel.name
    return rows


if __name__ == "__main__":
    main(measure)
