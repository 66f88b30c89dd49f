"""Every conformance program, with ironspan: the tree has to be the expected one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.conformance.runner import Warm, execute, programs

pytestmark = pytest.mark.skipif(find_spec("langchain_openai") is None, reason="needs requirements/conformance.txt")


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm | None]:
    """The process that the programs are forked from; None where there is no fork."""
    if not hasattr(os, "fork"):
        yield None
        return
    process = Warm()
    yield process
    process.close()


@pytest.mark.parametrize("program", programs())
def test_program_has_the_expected_tree(program: str, warm: Warm | None):
    outcome = execute(program, "ironspan", warm)
    assert outcome.passed, outcome.report()
