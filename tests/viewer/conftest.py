"""The page in a real browser, on a real server: `served` is an `ironspan view` on a store with recorded traces.

Chromium and playwright are asked for and not required: where one is missing the tests are skipped and say what to do.
`files` serves the page's files alone, for its pure functions and for answers that no store gives.
"""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import chromium
from tests.viewer.serving import UI, Served, empty, record, viewing

# As the server sends it; here so that the page's files can be tried without one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("viewer") / "traces.db"
    ids = record(store, "demo", "failed", "hostile", "history")
    with viewing(store) as url:
        yield Served(url, store, ids)


@pytest.fixture(scope="session")
def served_big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("viewer-big") / "traces.db"
    ids = record(store, "big")
    with viewing(store) as url:
        yield Served(url, store, ids)


@pytest.fixture
def served_empty(tmp_path: Path) -> Iterator[Served]:
    """A store that exists and holds nothing any more. Asked for before `page`, so that the page is closed first."""
    store = tmp_path / "traces.db"
    record(store, "failed")
    empty(store)
    with viewing(store) as url:
        yield Served(url, store)


class _Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.split("?")[0]
        path = UI / ("index.html" if name == "/" else name.removeprefix("/ui/"))
        known = path.resolve().is_relative_to(UI) and path.is_file()
        body = path.read_bytes() if known else b'{"error": {"message": "no such path"}}'
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", TYPES.get(path.suffix, "text/plain") if known else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def files() -> Iterator[str]:
    """The page's files under the server's policy, and no API."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("playwright is not installed: pip install playwright")
    program = chromium.program()
    if program is None:
        pytest.skip("no Chromium on the PATH; IRONSPAN_TEST_CHROMIUM names one elsewhere")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=chromium.ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes pages of a size and colour scheme. At the end none of them may have had an error in its console (a breach
    of the policy is one), an exception, or a request to anywhere but its own server."""
    contexts = []
    trouble: list[str] = []

    def make(width: int = 1280, height: int = 800, scheme: str = "light", expect_errors: bool = False) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: trouble.append(f"exception: {error}"))
        if not expect_errors:
            page.on("console", lambda said: said.type == "error" and trouble.append(f"console: {said.text}"))
        outside = re.compile(r"https?://(?!127\.0\.0\.1[:/])")
        page.on("request", lambda sent: outside.match(sent.url) and trouble.append(f"outside request: {sent.url}"))
        return page

    yield make
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    return new_page()
