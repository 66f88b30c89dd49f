"""Every page with what `ironspan demo` records, one run of the team and `--history 200`: it fits, can be read in both
colour schemes and on a phone, and can be used without a mouse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import clean_environment
from tests.viewer.serving import Served, record, viewing

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

NODES = 2_000
SIZES = [(1280, 800), (375, 740)]
# {team}: the trace of the demo's team; {other}: another of its traces; {many}: one of 60 agents.
PLACES = [
    "traces", "traces?q=status:error", "sessions", "sessions/sess-demo", "agents", "dashboard", "errors", "scores",
    "t/{team}", "t/{team}?tab=agents", "t/{team}?tab=lanes", "t/{team}?tab=conversation", "t/{team}?span={failed}",
    "t/{team}?span={said}", "compare?a={team}&b={other}", "t/{many}", "t/{many}?tab=agents", "t/{many}?tab=lanes",
    "t/{many}?tab=conversation",
]  # fmt: skip

# Texts in sight whose colour is too near to what lies behind them (WCAG 2.2, 1.4.3: 4.5 to 1; 3 to 1 when large).
PALE = """() => {
  const parse = (text) => { const m = text.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((k) => a[k] * a[3] + b[k] * (1 - a[3])).concat(1);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const pale = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || el.closest('noscript, :disabled')) continue;
    if (!el.checkVisibility({ opacityProperty: true })) continue;
    const layers = [];
    let opacity = 1;
    for (let at = el; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      layers.push(parse(style.backgroundColor));
      opacity *= Number(style.opacity);
    }
    const back = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    const style = getComputedStyle(el);
    const front = parse(style.color);
    front[3] *= opacity;
    const [a, b] = [light(over(front, back)), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const said = walk.currentNode.data.trim().slice(0, 30);
    if (ratio < (large ? 3 : 4.5)) pale.push(`${said} (${el.className}): ${ratio.toFixed(2)}`);
  }
  return [...new Set(pale)];
}"""
# What can be focused and is in sight, each once.
CONTROLS = """() => {
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')];
  const inside = ({ top, bottom, height }) => height > 0 && top >= 0 && bottom <= innerHeight;
  const seen = all.filter((el) => !el.disabled && el.tabIndex >= 0 &&
    el.checkVisibility({ visibilityProperty: true }) && inside(el.getBoundingClientRect()));
  seen.forEach((el, k) => { el.dataset.control = k; });
  const name = (el) => el.textContent.trim().slice(0, 20) || el.ariaLabel;
  return [all.length, seen.map((el) => `${el.dataset.control} ${el.tagName} ${name(el)}`)];
}"""
FOCUS = """() => {
  const el = document.activeElement;
  if (!el || el === document.body) return null;
  // A row shows the focus of the link that fills it.
  const ring = (at) => {
    const style = getComputedStyle(at);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  };
  return [el.dataset.control ?? '', ring(el) || ring(el.parentElement)];
}"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("viewer-demo") / "traces.db"
    for flags in (["--history", "200"], ["--fast"]):
        command = [sys.executable, "-m", "ironspan", "demo", "--no-open", "--store", str(store), *flags]
        subprocess.run(command, env=clean_environment(), check=True, capture_output=True, timeout=100)
    ids = {"many": record(store, "team")["team"]["trace"]}
    with viewing(store) as url:
        yield Served(url, store, ids)


@pytest.fixture(scope="module")
def places(demo: Served, browser: Any) -> dict[str, str]:
    """What stands for the names in PLACES."""
    context = browser.new_context()
    traces = context.request.get(f"{demo.url}/api/v1/traces?limit=500&since=30d").json()["traces"]
    team = next(trace for trace in traces if trace["session"] == "sess-demo")
    other = next(trace for trace in traces if trace["status"] == "error")
    spans = context.request.get(f"{demo.url}/api/v1/traces/{team['id']}").json()["spans"]
    context.close()
    return {
        "team": team["id"],
        "other": other["id"],
        "many": demo.ids["many"],
        "failed": spans["id"][spans["own_error"].index(1)],
        "said": spans["id"][spans["kind"].index(3)],
    }


def opened(page: Any, demo: Served, place: str, places: dict[str, str]) -> None:
    page.goto(f"{demo.url}/#/{place.format(**places)}")
    sync_api.expect(page.locator("main > *").first).to_be_visible()
    sync_api.expect(page.locator(":not(.vlist) > .loading, div.pending")).to_have_count(0)
    if place.startswith("traces"):
        sync_api.expect(page.locator(".trace-line").first).to_be_visible()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_place_fits_and_can_be_read(
    new_page: Callable[..., Any], demo: Served, places: dict[str, str], place: str, size: tuple[int, int], scheme: str
) -> None:
    page = new_page(*size, scheme)
    opened(page, demo, place, places)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("*").count() < NODES
    assert page.evaluate(PALE) == []


@pytest.mark.parametrize("place", [place for place in PLACES if "many" not in place])
def test_each_control_is_reached_with_the_tabulator_and_shows_it(
    page: Any, demo: Served, places: dict[str, str], place: str
) -> None:
    opened(page, demo, place, places)
    many, controls = page.evaluate(CONTROLS)
    reached, hidden = set(), set()
    # Round once: after the last control comes the browser's own frame.
    for _ in range(many + 40):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        if focus is None:
            break
        reached.add(focus[0])
        if not focus[1]:
            hidden.add(focus[0])
    assert [name for name in controls if name.split()[0] not in reached] == []
    assert [name for name in controls if name.split()[0] in hidden] == []


def test_sixty_agents_have_their_lanes_and_their_places(page: Any, demo: Served, places: dict[str, str]) -> None:
    opened(page, demo, "t/{many}?tab=lanes", places)
    sync_api.expect(page.locator(".lanes")).to_contain_text("Shown are the 40 lanes with the most time of 60")
    sync_api.expect(page.locator(".handoffs button")).to_have_count(59)
    opened(page, demo, "t/{many}?tab=agents", places)
    sync_api.expect(page.locator(".node-agent")).to_have_count(60)
    boxes = page.locator(".node").evaluate_all(
        "(all) => all.map((el) => [el.offsetLeft, el.offsetTop, el.offsetWidth, el.offsetHeight])"
    )
    for k, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[k + 1 :]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y
            assert apart, "two cards cover each other"
