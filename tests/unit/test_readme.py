"""Every Python block of the documentation runs, as a program of its own, without a word on standard error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import ironspan
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FRAMEWORKS = ("langchain_core", "langchain", "langgraph", "llama_index")


def blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start(1)) + 1
            yield f"{page.relative_to(ROOT).as_posix()}:{line}", found[1]


BLOCKS = dict(blocks())


def test_no_block_is_overlooked() -> None:
    opened = sum(page.read_text(encoding="utf-8").count("```python") for page in PAGES)
    assert opened == len(BLOCKS) > 0


@pytest.mark.parametrize("where", BLOCKS)
def test_block_runs(where: str, tmp_path: Path) -> None:
    code = BLOCKS[where]
    needed = {name for name in FRAMEWORKS if re.search(rf"^(?:from|import) {name}\b", code, re.MULTILINE)}
    for name, package in {"langchain": "langchain_core", "llamaindex": "llama_index"}.items():
        if f"ironspan.{name}" in code or f'instrument("{name}")' in code:
            needed.add(package)
    if missing := sorted(name for name in needed if find_spec(name) is None):
        pytest.skip(f"needs {', '.join(missing)}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    # A block that names no destination still makes real spans: they come out on standard output.
    environment |= {"PYTHONPATH": str(Path(ironspan.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
    if "exporters=" not in code and "console=" not in code:
        environment |= {"OTEL_TRACES_EXPORTER": "otlp/stdout"}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if "otlp/stdout" in environment.values():
        assert '"resourceSpans"' in done.stdout
