"""The page's files as such: their size, where they may reach, and that what is vendored is what its README says."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from tests.viewer.serving import UI


def loaded(first: Path) -> set[Path]:
    """A module with all that it imports; what is imported on demand comes later and does not count."""
    found: set[Path] = set()
    open_files = [first]
    while open_files:
        path = open_files.pop().resolve()
        if path in found:
            continue
        found.add(path)
        names = re.findall(r"""^(?:import|export)\b[^;]*?from "([^"]+)";""", path.read_text(encoding="utf-8"), re.M)
        open_files += [path.parent / name for name in names]
    return found


def test_the_first_page_is_small() -> None:
    """What the list of traces loads, compressed."""
    index = UI / "index.html"
    named = {UI / name for name in re.findall(r'(?:src|href)="/ui/([^"]+)"', index.read_text(encoding="utf-8"))}
    files = {index} | named | loaded(UI / "app.js") | loaded(UI / "pages" / "traces.js")
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    assert {"app.js", "traces.js", "preact-htm-signals.js", "base.css"} <= set(sizes)
    assert sum(sizes.values()) < 80_000, sizes


def test_a_trace_asks_for_all_its_modules_at_once() -> None:
    """A module that is not named would be found only when the one that imports it has come."""
    listed = re.search(r"const TRACE = \[(.*?)\];", (UI / "early.js").read_text(encoding="utf-8"), re.S)
    assert listed is not None
    named = {(UI / name).resolve() for name in re.findall(r'"([^"]+)"', listed[1])}
    assert named == loaded(UI / "pages" / "trace.js") - loaded(UI / "app.js")


def test_vendored_files_are_those_of_the_readme() -> None:
    vendor = UI / "vendor"
    listed = dict(
        reversed(line.split())
        for line in (vendor / "README").read_text().splitlines()
        if re.match(r"[0-9a-f]{64}  ", line)
    )
    assert {"preact-htm-signals.js", "uplot.js", "uplot.css"} <= set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_no_file_names_another_host_to_load_from() -> None:
    """Addresses in licences and comments are allowed; in code only the namespace of SVG is."""
    for path in UI.rglob("*"):
        if path.suffix not in {".js", ".css", ".html"} or "vendor" in path.parts:
            continue
        found = re.findall(r"""["'(`](?:https?:)?//[\w.-]+""", path.read_text(encoding="utf-8"))
        assert found == [], path.name


def test_markup_needs_no_inline_script_or_style() -> None:
    page = (UI / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


def test_files_say_what_lives_there_and_stay_readable() -> None:
    for path in UI.rglob("*.js"):
        if "vendor" in path.parts:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "// @ts-check", path.name
        assert lines[1].startswith("// "), path.name
        assert len(lines) < 600, path.name
