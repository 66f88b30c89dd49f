"""How soon is a viewer there, what does it weigh, and how soon does it show a trace of 10,000 spans?

`ironspan view`, Arize Phoenix and MLflow with the same traces in their stores: one of 10,000 spans and 50 of a dozen.
Round by round, each is started, its first page opened in a Chromium with empty caches, then the large trace in another.
Ready is when the page and the data of its first view have been answered. Memory is resident memory of all processes.
The wire counts what Chromium fetches until nothing has moved for a second and a half, headers included. The first row
is timed from the request of the trace's address; nodes are counted when the page has come to rest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benches import browser
from benches.measure import Row, main, quartiles
from benches.viewer_subjects import IronspanView, MLflow, Phoenix, Traces, Viewer, programs

__all__ = ["measure"]

_SPANS = 10_000
_READY = "view: ready"
_MEMORY = "view: memory when ready"
_MEMORY_AFTER = f"view: memory after a trace of {_SPANS:,} spans"
_WIRE = "view: first page on the wire"
_FIRST_ROW = f"view: trace of {_SPANS:,} spans, first row"
_NODES = f"view: trace of {_SPANS:,} spans, DOM nodes"
# Unit, and what ironspan may take at most; that of memory is meant for a viewer that has just been started.
_BARS = {
    _READY: ("ms", 300),
    _MEMORY: ("MB", 30),
    _MEMORY_AFTER: ("MB", None),
    _WIRE: ("KB", 120),
    _FIRST_ROW: ("ms", 500),
    _NODES: ("", 2_000),
}
_ROW_LIMIT_MS = 240_000


def _traces(folder: Path) -> Traces:
    """The traces, made by the demo and written as OTLP JSON."""
    import ironspan

    store, file = folder / "demo.db", folder / "spans.jsonl"
    for what in (["--history", "50"], ["--big", str(_SPANS)]):
        _ironspan("demo", "--no-open", "--store", str(store), *what)
    _ironspan("export", "--store", str(store), "--format", "otlp-json", "--output", str(file))
    with ironspan.open_store(store) as opened:
        [big] = opened.traces("tag:big")
    return Traces.read(file, str(big["id"]))


def _ironspan(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ironspan", *arguments], check=True, stdout=subprocess.DEVNULL)


def _first_page(chromium: Any, url: str) -> float:
    """KB on the wire."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wire = browser.Wire(page)
    page.goto(url)
    wire.settle()
    context.close()
    return wire.bytes / 1e3


def _trace(chromium: Any, url: str, row: str) -> tuple[float | None, int]:
    """Milliseconds to the first row, None when there was none in time, and how many nodes the page has in the end."""
    from playwright.sync_api import TimeoutError as Late

    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wire = browser.Wire(page)
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    try:
        page.locator(f"{row} >> visible=true").first.wait_for(state="visible", timeout=_ROW_LIMIT_MS)
    except Late:
        took = None
    else:
        took = (time.monotonic() - began) * 1e3
        wire.settle()
    nodes = page.evaluate("document.querySelectorAll('*').length")
    context.close()
    return took, nodes


def _round(viewer: Viewer, traces: Traces, chromium: Any | None) -> dict[str, float]:
    """What one start shows."""
    with viewer.running() as running:
        found: dict[str, float] = {_READY: running.ready * 1e3, _MEMORY: running.memory()}
        if chromium is not None:
            found[_WIRE] = _first_page(chromium, running.url)
            took, nodes = _trace(chromium, viewer.page(running.url, traces), viewer.row)
            if took is not None:
                found |= {_FIRST_ROW: took, _NODES: nodes}
            found[_MEMORY_AFTER] = running.memory()
    return found


def _rows(rounds: dict[str, list[dict[str, float]]], notes: dict[str, str]) -> list[Row]:
    """For each measure a row for each viewer, ironspan first and judged, and the ratios to it."""
    rows = []
    for what, (unit, most) in _BARS.items():
        middles: dict[str, float] = {}
        for name, found in rounds.items():
            values = [one[what] for one in found if what in one]
            if not values:
                rows.append(Row(what, name, None, unit, note="not seen"))
                continue
            low, middles[name], high = quartiles(values)
            note = notes[name] if what in (_FIRST_ROW, _NODES) else ""
            rows.append(Row(what, name, middles[name], unit, low, high, note=note))
            if name == IronspanView.name and most is not None:
                rows[-1].bar, rows[-1].passed = f"at most {most:,} {unit}".rstrip(), middles[name] <= most
        ours = middles.pop(IronspanView.name, None)
        rows += [Row(what, f"{name} / ironspan", value / ours, "x") for name, value in middles.items() if ours]
    return rows


def measure(quick: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        traces = _traces(folder)
        viewers: list[Viewer] = [IronspanView(folder / "ironspan")]
        for peer in (Phoenix, MLflow):
            bin = programs(peer.name.lower())
            if bin is None:
                rows.append(
                    Row(_READY, peer.name, None, "ms", note=f"not installed: scripts/viewer {peer.name.lower()}")
                )
            else:
                viewers.append(peer(folder / peer.name.lower(), bin))
        for viewer in viewers:
            viewer.fill(traces)
        rounds: dict[str, list[dict[str, float]]] = {viewer.name: [] for viewer in viewers}
        lacking = browser.missing()
        with browser.launched() as chromium:
            for number in range(1 if quick else 3):
                for viewer in viewers[number % len(viewers) :] + viewers[: number % len(viewers)]:
                    rounds[viewer.name].append(_round(viewer, traces, chromium))
    rows = _rows(rounds, {viewer.name: viewer.note for viewer in viewers}) + rows
    if lacking is not None:
        for row in rows:
            row.note = row.note if row.value is not None else lacking
    return rows


if __name__ == "__main__":
    main(measure)
