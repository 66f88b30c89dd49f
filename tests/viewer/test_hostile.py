"""Text that tries to be more than text, in every field and on every page: it is shown, and nothing of it happens.

The fixture that makes the pages refuses outside requests, console errors and breaches of the policy; here a watch in
the page itself notes every element that only markup could have made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.viewer.payloads import PAYLOADS
from tests.viewer.serving import Served, record, viewing

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

NODES = 2_000
# The page makes none of these; uPlot's canvas and the icons' svg are its own.
WATCH = """(() => {
  window.made = [];
  const bad = 'script, img, iframe, object, embed, video, audio, math, base, meta, link, style, template, animate, ' +
    'marquee, body, [onerror], [onload], [onclick], [srcdoc], a[href^="javascript:" i], a[href^="data:" i]';
  new MutationObserver((changes) => {
    for (const change of changes) for (const node of change.addedNodes) {
      if (!(node instanceof Element) || !node.closest('#app')) continue;
      const all = [node, ...node.querySelectorAll('*')];
      for (const found of all) if (found.matches(bad)) window.made.push(found.outerHTML);
    }
  }).observe(document, { childList: true, subtree: true });
})()"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("viewer-hostile") / "traces.db"
    ids = record(store, "payloads", "payload_traces", "megabytes")
    with viewing(store) as url:
        yield Served(url, store, ids)


@pytest.fixture
def watched(new_page: Callable[..., Any]) -> Iterator[Any]:
    page = new_page()
    page.add_init_script(WATCH)
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog was opened: {dialog.message}"))
    yield page
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("window.made") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_payloads_are_many_and_different() -> None:
    assert len(set(PAYLOADS)) == 300


def test_each_span_of_payloads_is_only_text(watched: Any, hostile: Served) -> None:
    watched.goto(hostile.trace("payloads"))
    sync_api.expect(watched.locator(".tl-row").first).to_contain_text("payloads")
    spans = set()
    for _ in PAYLOADS:
        watched.keyboard.press("j")
        detail = watched.locator(".detail")
        sync_api.expect(detail.locator("section").last).to_be_visible()
        sync_api.expect(detail.locator("div.pending")).to_have_count(0)
        spans.add(watched.url.rpartition("span=")[2])
        # What is folded is markup, too, once it is opened.
        watched.evaluate("for (const fold of document.querySelectorAll('.detail details')) fold.open = true")
    assert len(spans) == len(PAYLOADS)


@pytest.mark.parametrize("tab", ["agents", "lanes", "conversation"])
def test_views_of_payloads_are_only_text(watched: Any, hostile: Served, tab: str) -> None:
    watched.goto(hostile.trace("payloads", tab=tab))
    shown = {"agents": ".node", "lanes": ".lane-names > div", "conversation": ".bubble"}[tab]
    sync_api.expect(watched.locator(shown).first).to_be_visible()
    sync_api.expect(watched.locator(":not(.vlist) > .loading")).to_have_count(0)


@pytest.mark.parametrize("name", ["traces?since=all", "sessions", "agents", "dashboard", "errors", "scores"])
def test_pages_of_payloads_are_only_text(watched: Any, hostile: Served, name: str) -> None:
    watched.goto(f"{hostile.url}/#/{name}")
    sync_api.expect(watched.locator("main > *").first).to_be_visible()
    sync_api.expect(watched.locator(":not(.vlist) > .loading")).to_have_count(0)
    lists = watched.locator(".vlist, .page")
    for _ in range(12):
        lists.first.evaluate("(list) => { list.scrollTop += 3000; }")
        watched.evaluate("new Promise(requestAnimationFrame)")


def test_sessions_and_comparisons_of_payloads_are_only_text(watched: Any, hostile: Served) -> None:
    newest = watched.request.get(f"{hostile.url}/api/v1/traces?limit=12").json()["traces"]
    for one, other in zip(newest[::2], newest[1::2], strict=True):
        for place in (
            f"sessions/{quote(one['session'] or '', safe='')}",
            f"compare?a={one['id']}&b={other['id']}",
        ):
            watched.goto(f"{hostile.url}/#/{place}")
            sync_api.expect(watched.locator("main > *").first).to_be_visible()
            sync_api.expect(watched.locator(":not(.vlist) > .loading")).to_have_count(0)


@pytest.mark.parametrize("name", ["words", "word", "marks"])
def test_messages_of_megabytes_leave_the_page_light(watched: Any, hostile: Served, name: str) -> None:
    watched.goto(hostile.trace("megabytes", name))
    more = watched.locator(".bubble .more")
    sync_api.expect(more.last).to_contain_text("Show all")
    length = "document.querySelector('.detail').textContent.length"
    assert watched.evaluate(length) < 100_000
    more.last.click()
    sync_api.expect(watched.locator(".detail")).to_contain_text("Shown are the first")
    assert watched.evaluate(length) < 2_000_000
    assert watched.locator("*").count() < NODES
    watched.keyboard.press("Escape")
    sync_api.expect(watched.locator(".detail h2")).to_have_text("megabytes")
