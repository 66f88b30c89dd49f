"""Drives the machine's Chromium for the benches, and measures from inside the page, where no round trip is in the way.

Each visit is a context of its own, so that nothing of an earlier one is cached. It knows nothing of the page that it
visits: what to wait for and what to scroll are CSS selectors. It resolves no name but that of this machine: what a page
asks of others fails at once, as it does offline.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from tests.support import chromium

__all__ = ["Wire", "count_nodes", "launched", "missing", "p95", "scroll_frames", "visit"]

_OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

# The time since the navigation began, once what was waited for is in the document and a frame with it was made. The
# message comes after the frame; a further frame would add 16 ms in which nothing happens.
_SEEN = """(() => {
  const look = () => {
    if (!document.querySelector(%s)) return;
    watch.disconnect();
    requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => (window.benchSeen = performance.now());
      after.port2.postMessage(0);
    });
  };
  const watch = new MutationObserver(look);
  watch.observe(document, { childList: true, subtree: true });
})()"""
# A wheel that turns as fast as fingers can: `step` pixels in each frame, and how long each frame took.
_SCROLL = """([selector, step, frames]) => new Promise((done) => {
  const box = document.querySelector(selector);
  const times = [];
  let last = 0;
  const frame = (now) => {
    if (last) times.push(now - last);
    last = now;
    if (times.length === frames) return done(times);
    box.scrollTop += step;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


def missing() -> str | None:
    """What there is not, with the way to get it; None when a browser can be started."""
    if find_spec("playwright") is None:
        return "no playwright: scripts/env browser installs it"
    return None if chromium.program() else "no Chromium: scripts/browser says how to get one"


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A running Chromium, or None where something is missing."""
    if missing() is not None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = [*chromium.ARGUMENTS, _OFFLINE]
        browser = playwright.chromium.launch(executable_path=chromium.program(), args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser: Any, url: str, selector: str, *, timeout_seconds: float = 300) -> Iterator[tuple[Any, float]]:
    """A page at `url`, and the milliseconds from the navigation to the frame that first shows `selector`."""
    context = browser.new_context(viewport={"width": 1440, "height": 820})
    try:
        page = context.new_page()
        page.set_default_timeout(timeout_seconds * 1000)
        page.add_init_script(_SEEN % json.dumps(selector))
        page.goto(url, wait_until="commit")
        page.wait_for_selector(selector, state="attached")
        # Asked again until the frame is out; each question is answered between two frames.
        while (seen := page.evaluate("window.benchSeen ?? null")) is None:
            pass
        yield page, seen
    finally:
        context.close()


def count_nodes(page: Any) -> int:
    """Elements in the document."""
    return int(page.evaluate("document.querySelectorAll('*').length"))


def scroll_frames(page: Any, selector: str, *, step: int = 400, frames: int = 200) -> list[float]:
    """Milliseconds from frame to frame while `selector` is scrolled by `step` pixels in each."""
    times: list[float] = page.evaluate(_SCROLL, [selector, step, frames])
    return times


def p95(times: list[float]) -> float:
    """The time that 95 % of them keep to."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


class Wire:
    """What a page fetches: `bytes` as they came over the network, headers included and compressed where they were."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.bytes = 0
        self._open: set[str] = set()
        self._last = time.monotonic()
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._begun)
        session.on("Network.loadingFinished", self._done)
        session.on("Network.loadingFailed", self._done)
        session.send("Network.enable")

    def _begun(self, event: dict[str, Any]) -> None:
        # A stream of events never ends, and so is nothing to wait for.
        if event.get("type") != "EventSource":
            self._open.add(event["requestId"])
            self._last = time.monotonic()

    def _done(self, event: dict[str, Any]) -> None:
        self._open.discard(event["requestId"])
        self.bytes += int(event.get("encodedDataLength", 0))
        self._last = time.monotonic()

    def settle(self, quiet: float = 1.5, limit: float = 60.0) -> None:
        """Returns when nothing has been asked or answered for `quiet` seconds, or after `limit`."""
        until = time.monotonic() + limit
        while time.monotonic() < until and (self._open or time.monotonic() - self._last < quiet):
            self.page.wait_for_timeout(50)
