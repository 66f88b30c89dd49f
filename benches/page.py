"""How soon does the page show a trace of 10,000 spans, how much does it put into the document, and how does it scroll?

A browser that is running opens the trace's address: from the navigation, with nothing cached, to the frame with the
first row. Then the elements in the document, and 200 frames of scrolling by 15 rows each.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benches import browser
from benches.measure import Row, main, quartiles
from tests.viewer.serving import record, viewing

__all__ = ["measure"]

_ROW = ".tl-row"
_LIST = ".tl"


def measure(quick: bool) -> list[Row]:
    first, nodes, frames = [], [], []
    with tempfile.TemporaryDirectory() as folder, browser.launched() as chromium:
        if chromium is None:
            return [Row("10,000 spans, first row", "ironspan", None, "ms", note="needs Chromium and playwright")]
        store = Path(folder, "traces.db")
        trace = record(store, "big")["big"]["trace"]
        with viewing(store) as url:
            # The browser's own processes start with the first page, and are nothing of ours.
            with browser.visit(chromium, f"{url}/ui/icon.svg", "svg"):
                pass
            for _ in range(5 if quick else 15):
                with browser.visit(chromium, f"{url}/#/t/{trace}", _ROW) as (page, seen):
                    first.append(seen)
                    page.wait_for_selector(".detail-body h3")
                    nodes.append(browser.count_nodes(page))
                    frames.append(browser.p95(browser.scroll_frames(page, _LIST)))
                    nodes.append(browser.count_nodes(page))
    low, middle, high = quartiles(first)
    most = max(nodes)
    fast, usual, slow = quartiles(frames)
    what = "10,000 spans in Chromium"
    return [
        Row(f"{what}, first row", "ironspan", middle, "ms", low, high, bar="at most 500 ms", passed=middle <= 500),
        Row(f"{what}, elements", "ironspan", most, "", bar="under 2000", passed=most < 2000),
        Row(f"{what}, p95 frame", "ironspan", usual, "ms", fast, slow, bar="at most 40 ms", passed=usual <= 40),
    ]


if __name__ == "__main__":
    main(measure)
