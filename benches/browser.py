"""A browser for the benches that look at pages: the machine's own Chromium, driven by playwright.

It resolves no name but that of this machine: what a page asks of others fails at once, as it does offline.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

__all__ = ["Wire", "chromium", "missing"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _program() -> str | None:
    return os.environ.get("IRONSPAN_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def missing() -> str | None:
    """What there is not, with the way to get it; None when a browser can be started."""
    if find_spec("playwright") is None:
        return "no playwright: scripts/env browser installs it"
    return None if _program() else "no Chromium: scripts/browser says how to get one"


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A running browser. Ask `missing()` first."""
    from playwright.sync_api import sync_playwright

    # The sandbox needs rights that a container often lacks; only our own pages and those of peers are opened.
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program(), args=arguments)
        yield browser
        browser.close()


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
