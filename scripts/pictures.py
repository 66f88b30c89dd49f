"""Takes the pictures of the README: the demo and 200 runs of history, looked at in Chromium. See scripts/pictures.

Usage: pictures.py CHROMIUM FOLDER [PHOENIX]       PHOENIX: the folder of its programs; without, no picture of it
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import ironspan
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches.viewer_subjects import Phoenix, Traces


def ironspan_command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ironspan", *arguments], check=True, stdout=subprocess.DEVNULL)


def record(store: Path) -> str:
    """Makes the history of a day, runs the demo, and returns the id of its trace.

    Stack traces name the files of this machine: the pictures show a copy in which they lie in /app.
    """
    here, lines = store.parent / "here.db", store.parent / "lines.jsonl"
    for more in (["--history", "200"], []):
        ironspan_command("demo", "--no-open", "--store", str(here), *more)
    ironspan_command("export", "--store", str(here), "--format", "jsonl", "--output", str(lines))
    package = str(Path(ironspan.__file__).parent)
    lines.write_text(lines.read_text(encoding="utf-8").replace(package, "/app/ironspan"), encoding="utf-8")
    ironspan_command("import", "--store", str(store), str(lines))
    with ironspan.open_store(store) as opened:
        [demo] = [row for row in opened.traces("tag:demo") if row["spans"] == 17]
    return str(demo["id"])


def take_phoenix(browser: Browser, programs: Path, store: Path, trace: str, picture: Path) -> None:
    """The trace of the demo in Arize Phoenix, which gets it by OTLP."""
    lines = store.parent / "demo.jsonl"
    ironspan_command("export", f"id:{trace}", "--store", str(store), "--format", "otlp-json", "--output", str(lines))
    traces = Traces.read(lines, trace)
    phoenix = Phoenix(store.parent / "phoenix", programs)
    with phoenix.running() as running:
        phoenix.send(running, traces)
        page = browser.new_page(viewport={"width": 1280, "height": 760}, color_scheme="light")
        page.goto(phoenix.page(running.url, traces))
        page.get_by_text("vector_search").first.wait_for(timeout=60_000)
        # What it still loads after that has no end that could be waited for.
        page.wait_for_timeout(5000)
        page.screenshot(path=picture)
        page.close()


def main() -> None:
    chromium, folder = sys.argv[1], Path(sys.argv[2])
    programs = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        store = Path(temporary, "agents", "traces.db")
        store.parent.mkdir()
        trace = record(store)
        served = ironspan.view(store)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def take(name: str, place: str, scheme: str = "light", prepare: str | None = None) -> None:
            context = browser.new_context(viewport={"width": 1280, "height": 760}, color_scheme=scheme)
            page: Page = context.new_page()
            page.goto(f"{served.url.rstrip('/')}/#{place}")
            # The stream of live events keeps the network busy for ever: pictures are taken by the clock.
            page.wait_for_timeout(2000)
            if prepare is not None:
                page.keyboard.press(prepare)
                page.wait_for_timeout(1000)
            page.screenshot(path=folder / f"{name}.png")
            context.close()

        take("traces", "/traces")
        take("timeline", f"/t/{trace}")
        take("failed-span", f"/t/{trace}", "dark", prepare="e")
        take("agents", f"/t/{trace}?tab=agents")
        take("dashboard", "/dashboard", "dark")
        if programs is not None:
            take_phoenix(browser, programs, store, trace, folder / "phoenix.png")
        browser.close()
        served.stop()


if __name__ == "__main__":
    main()
