"""Every conformance program, with ironspan: the tree has to be the expected one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.conformance.runner import Pool, programs

pytestmark = pytest.mark.skipif(find_spec("langchain_openai") is None, reason="needs requirements/conformance.txt")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """The process that the programs are forked from."""
    made = Pool(1)
    yield made
    made.close()


@pytest.mark.parametrize("program", programs())
def test_program_has_the_expected_tree(program: str, pool: Pool):
    outcome = pool.execute(program, "ironspan")
    assert outcome.passed, outcome.report()
