"""Frameworks recorded without a handler in the program."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import ironspan
import pytest
from ironspan.langchain import CallbackHandler
from langchain_core.runnables import RunnableLambda

from tests.support.llama import ScriptedModel
from tests.support.models import chain
from tests.support.outline import outline

CHAIN = """\
workflow RunnableSequence
  span ChatPromptTemplate
  generation gpt-4o
  span StrOutputParser
"""


@pytest.fixture(autouse=True)
def afterwards_off() -> Iterator[None]:
    yield
    ironspan.uninstrument()


def test_every_run_is_recorded_without_callbacks(spans):
    ironspan.instrument("langchain")
    chain().invoke({"question": "?"})
    assert outline(spans()) == CHAIN


def test_runs_of_tasks_and_of_threads_that_exist_already_are_recorded(spans):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        ironspan.instrument("langchain")
        pool.submit(lambda: chain().invoke({"question": "?"})).result()
    asyncio.run(chain().ainvoke({"question": "?"}))
    assert outline(spans()) == CHAIN * 2


def test_a_handler_that_is_passed_as_well_makes_no_second_span(spans):
    ironspan.instrument("langchain")
    ironspan.instrument("langchain")
    chain().invoke({"question": "?"}, config={"callbacks": [CallbackHandler()]})
    assert outline(spans()) == CHAIN


def test_it_can_be_undone_and_done_again(spans):
    ironspan.instrument("langchain")
    ironspan.uninstrument("langchain")
    chain().invoke({"question": "?"})
    assert spans() == []
    ironspan.instrument("langchain")
    RunnableLambda(str.upper).invoke("x")
    assert len(spans()) == 1


def test_without_a_name_all_that_is_installed_is_recorded(spans):
    ironspan.instrument()
    ask = RunnableLambda(lambda question: ScriptedModel().complete(question).text)
    assert ask.invoke("?") == "one two three"
    assert [line.split()[0] for line in outline(spans()).splitlines()] == ["workflow", "generation"]
    ironspan.uninstrument()
    ask.invoke("?")
    assert len(spans()) == 2


@pytest.mark.parametrize("change", [ironspan.instrument, ironspan.uninstrument])
def test_a_name_that_is_none_of_a_framework_is_told(change):
    with pytest.raises(ironspan.ConfigError, match=r"'lang'; write one of langchain, llamaindex"):
        change("lang")
