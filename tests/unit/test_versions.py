"""Versions of frameworks: which are supported, and that others are told of once and break nothing."""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ironspan import _versions

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_versions, "_told", set())


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every package one of that version."""
    return lambda version: monkeypatch.setattr(importlib.metadata, "version", lambda _: version)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the logger has said."""
    with caplog.at_level(logging.INFO, "ironspan"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "ironspan"]


def pinned(package: str, *files: str) -> list[str]:
    """The versions of a package in files of requirements/."""
    texts = [(ROOT / "requirements" / file).read_text(encoding="utf-8") for file in files]
    return [found for text in texts for found in re.findall(rf"(?m)^{package}==(\S+)", text)]


@pytest.mark.parametrize("package", _versions.SUPPORTED)
def test_the_versions_that_are_named_are_those_that_are_tested(package):
    oldest, newest = _versions.SUPPORTED[package]
    assert min(pinned(package, "oldest/frameworks.txt", "oldest/agents.txt"), key=_versions._numbers) == oldest
    assert pinned(package, "frameworks.txt") == [newest]


@pytest.mark.parametrize("package", _versions.SUPPORTED)
def test_the_documentation_names_the_same(package):
    page = ROOT / "docs" / ("llamaindex.md" if package.startswith("llama") else "langchain.md")
    oldest, newest = _versions.SUPPORTED[package]
    assert f"| `{package}` | {oldest} | {newest} |\n" in page.read_text(encoding="utf-8")


def test_too_old_a_version_is_told_once_with_the_range(installed, told):
    installed("0.2.43")
    oldest, newest = _versions.SUPPORTED["langchain-core"]
    _versions.check("langchain-core")
    _versions.check("langchain-core")
    assert told() == [
        "langchain-core 0.2.43 is older than ironspan supports; less may be recorded. "
        f"Supported is {oldest} or newer, tested up to {newest}"
    ]


@pytest.mark.parametrize(
    "version", ["0.12.0", "0.12.0rc1", "0.12.52.post1", "0.13.0", "1.0a1", "99", "99.0.dev0+local"]
)
def test_versions_from_the_oldest_on_are_not_told(installed, told, version):
    installed(version)
    _versions.check("llama-index-core")
    assert told() == []


@pytest.mark.parametrize("version", ["0.5.4", "0.5", "0", "", "none"])
def test_odd_old_versions_are_told_and_raise_nothing(installed, told, version):
    installed(version)
    _versions.check("langgraph")
    assert len(told()) == 1


def test_a_package_that_is_not_there_is_not_told(monkeypatch, told):
    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    _versions.check("langgraph", "llama-index-core")
    assert told() == []


def test_what_is_there_is_taken_in_silence(told):
    assert _versions.take("langgraph", "json", "loads") is __import__("json").loads
    assert told() == []


@pytest.mark.parametrize(("module", "name"), [("json", "no_such_name"), ("json.no_such_module", "x"), ("no_such", "x")])
def test_what_is_missing_is_told_and_never_applies(installed, told, module, name):
    installed("99.0")
    found = _versions.take("langgraph", module, name)
    assert not isinstance(object(), found)
    assert issubclass(type("Handler", (found[int],), {}), found)
    assert _versions.take("langgraph", module, name, 7) == 7
    oldest, newest = _versions.SUPPORTED["langgraph"]
    assert told() == [
        f"langgraph 99.0 has no {module}.{name}; less may be recorded. "
        f"Supported is {oldest} or newer, tested up to {newest}"
    ]


def test_what_an_old_version_is_missing_is_told_as_its_age(installed, told):
    installed("0.1")
    _versions.take("langgraph", "json", "no_such_name")
    assert [line.partition(";")[0] for line in told()] == ["langgraph 0.1 is older than ironspan supports"]
