"""Frameworks of versions that are not supported: told once, in one line, and what can be recorded is.

The versions are faked and names taken away before ironspan is imported, hence in processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ironspan
from ironspan._versions import SUPPORTED

BEGIN = """\
import importlib, importlib.metadata, warnings
warnings.simplefilter("ignore")
genuine = importlib.metadata.version
faked = {faked!r}
importlib.metadata.version = lambda name: faked.get(name) or genuine(name)
for place in {missing!r}:
    module, _, name = place.rpartition(".")
    delattr(importlib.import_module(module), name)

import ironspan
from ironspan.testing import MemoryExporter
memory = MemoryExporter()
ironspan.init(exporters=[memory])
"""

LANGCHAIN = """\
from ironspan.langchain import CallbackHandler
from langchain_core.runnables import RunnableLambda
ironspan.instrument("langchain")
ironspan.instrument("langchain")
both = RunnableLambda(str.upper) | RunnableLambda(str.strip)
assert both.invoke(" x ", config={"callbacks": [CallbackHandler()]}) == "X"
"""

LLAMAINDEX = """\
from llama_index.core.llms import MockLLM
ironspan.instrument("llamaindex")
ironspan.instrument("llamaindex")
assert MockLLM().complete("x").text == "x"
ironspan.uninstrument("llamaindex")
"""

END = """\
ironspan.flush()
for name in sorted(span.name for span in memory.spans):
    print(name)
assert ironspan.stats()["internal_errors"] == 0
"""

RUNS = ["invoke_workflow RunnableSequence", "strip", "upper"]
CALLS = ["chat MockLLM"]


def run(program: str, faked: dict[str, str], *missing: str) -> tuple[list[str], list[str]]:
    """Names of the spans that were recorded, and the lines on standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "IRONSPAN_"))}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(faked=faked, missing=missing) + program + END],
        env={**environment, "PYTHONPATH": str(Path(ironspan.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def line(package: str, what: str) -> str:
    oldest, newest = SUPPORTED[package]
    return f"{package} {what}; less may be recorded. Supported is {oldest} or newer, tested up to {newest}"


def test_an_old_langchain_and_an_old_langgraph_are_told_once_each():
    spans, said = run(LANGCHAIN, {"langchain-core": "0.2.43", "langgraph": "0.5.4"})
    assert spans == RUNS
    assert said == [
        line("langchain-core", "0.2.43 is older than ironspan supports"),
        line("langgraph", "0.5.4 is older than ironspan supports"),
    ]


def test_a_newer_langchain_is_not_told():
    assert run(LANGCHAIN, {"langchain-core": "99.0", "langgraph": "99.0"}) == (RUNS, [])


def test_a_langchain_without_the_hooks_still_has_the_handler():
    place = "langchain_core.tracers.context.register_configure_hook"
    spans, said = run(LANGCHAIN, {"langchain-core": "99.0"}, place)
    assert spans == RUNS
    assert said == [line("langchain-core", f"99.0 has no {place}")]


def test_an_old_llamaindex_is_told_once():
    spans, said = run(LLAMAINDEX, {"llama-index-core": "0.11.23"})
    assert spans == CALLS
    assert said == [line("llama-index-core", "0.11.23 is older than ironspan supports")]


def test_a_llamaindex_without_some_classes_loses_only_those():
    places = [
        "llama_index.core.response_synthesizers.base.BaseSynthesizer",
        "llama_index.core.chat_engine.types.BaseChatEngine",
    ]
    spans, said = run(LLAMAINDEX, {"llama-index-core": "99.0"}, *places)
    assert spans == CALLS
    # One line for the package, about the first that was looked for.
    assert said == [line("llama-index-core", f"99.0 has no {places[1]}")]


def test_a_llamaindex_without_a_dispatcher_is_heard_through_its_callback_manager():
    place = "llama_index.core.instrumentation.get_dispatcher"
    spans, said = run(LLAMAINDEX, {"llama-index-core": "99.0"}, place)
    assert spans == ["chat MockLLM", "invoke_workflow completion"]
    assert said == [line("llama-index-core", f"99.0 has no {place}")]
