"""Traces that no store gives, put in front of the page: broken ones must be shown whole, large ones must stay light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.viewer.answers import answer_with, skeleton

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

# More would be felt: the prototypes with all rows in the document had 60,000.
NODES = 2_000


def names_in_sight(page: Any) -> list[str]:
    return page.locator(".tl-label").all_inner_texts()  # type: ignore[no-any-return]


@pytest.mark.parametrize("tab", ["timeline", "agents", "lanes", "conversation"])
def test_orphans_rings_and_missing_ends_are_shown(page: Any, files: str, tab: str) -> None:
    spans = skeleton(
        {"name": "root", "start": 0, "duration": 400},
        {"name": "skewed", "parent": 0, "start": -300, "duration": 90, "agent": "early", "kind": "agent"},
        {"name": "no end", "parent": 0, "start": 130, "duration": None},
        {"name": "orphan", "parent": -2, "start": 100, "duration": 50},
        {"name": "ring a", "parent": 5, "start": 10, "duration": 20},
        {"name": "ring b", "parent": 4, "start": 15, "duration": 20},
        {"name": "outlives", "parent": 0, "start": 390, "duration": 900},
    )
    page.goto(f"{answer_with(page, files, spans)}?tab={tab}")
    sync_api.expect(page.locator("h1")).to_have_text("given")
    sync_api.expect(page.locator(".warnings")).to_contain_text("parent that is not there")
    if tab == "timeline":
        sync_api.expect(page.locator(".tl-missing")).to_contain_text("missing parent")
        shown = names_in_sight(page)
        assert sorted(shown) == sorted(["root", "skewed", "no end", "outlives", "orphan", "ring a", "ring b"])


def test_fifty_thousand_spans_open_and_the_last_can_be_reached(page: Any, files: str) -> None:
    n = 50_000
    rows = [{"name": "root", "start": 0, "duration": n * 10}]
    rows += [{"name": f"step {k % 50}", "parent": 0, "start": k * 10, "duration": 9} for k in range(1, n - 1)]
    rows.append({"name": "the last", "parent": 0, "start": n * 10 - 9, "duration": 9})
    page.goto(answer_with(page, files, skeleton(*rows)))
    sync_api.expect(page.locator(".tl-row").first).to_contain_text("root")
    assert page.locator("*").count() < NODES
    page.locator(".tl").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    sync_api.expect(page.get_by_text("the last", exact=True)).to_be_visible()
    assert page.locator("*").count() < NODES


def test_deep_nesting_stays_within_the_page(page: Any, files: str) -> None:
    n = 3_000
    rows = [{"name": f"level {k}", "parent": k - 1, "start": k, "duration": 2 * (n - k)} for k in range(n)]
    page.goto(answer_with(page, files, skeleton(*rows)))
    page.locator(".tl").evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    sync_api.expect(page.get_by_text(f"level {n - 1}", exact=True)).to_be_visible()


def test_a_trace_without_spans_says_its_figures(page: Any, files: str) -> None:
    page.goto(answer_with(page, files, skeleton(), status="running"))
    sync_api.expect(page.locator(".trace-title")).to_contain_text("running")


def test_a_server_that_is_gone_is_told(new_page: Callable[..., Any], files: str) -> None:
    page = new_page(expect_errors=True)
    page.route("**/api/v1/**", lambda route: route.abort())
    page.goto(f"{files}/#/traces")
    sync_api.expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
