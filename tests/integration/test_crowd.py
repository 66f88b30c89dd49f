"""The judge of crowds sees what it is there to see: tests/support/crowd.py."""

from __future__ import annotations

from typing import Any

import ironspan
import pytest
from ironspan.langchain import CallbackHandler

from tests.support import crowd


@pytest.mark.parametrize("own", [False, True])
def test_a_crowd_of_requests_leaves_the_expected_trees(spans, own):
    crowd.run(CallbackHandler(), 20, threads=5, own=ironspan.span if own else None)
    assert crowd.wrong([vars(span) for span in spans()], 20, own=own) == []


def test_missing_moved_and_mixed_spans_make_a_tree_wrong(spans):
    crowd.run(CallbackHandler(), 4)
    recorded = [dict(vars(span)) for span in spans()]

    def step(name: str, number: int) -> Any:
        return next(span for span in recorded if span["name"].endswith(f"{name} #{number}#"))

    recorded.remove(step("first", 0))
    step("second", 1)["parent_id"] = step("request", 2)["span_id"]
    step("second", 3)["attributes"] = {"question": "#3# and #2#"}
    wrong = crowd.wrong(recorded, 4)
    assert [line.split(":")[0] for line in wrong] == [f"request {number}" for number in range(4)]
