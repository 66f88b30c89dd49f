"""The versions of frameworks that are supported, and what happens with others: a line in the log, and less is recorded.

A version that is older than the oldest is told; one that is newer than all tests is not, as long as everything is there
that an integration takes from it. What is missing is told, too, and replaced by something that never applies, so the
import succeeds and only the facts that hang on it are lost. Each package is told of once.
"""

from __future__ import annotations

import logging
from importlib import import_module, metadata
from typing import Any

__all__ = ["SUPPORTED", "Missing", "check", "take"]

#: The oldest version that is supported and the newest that was tested: the pins of requirements/, as a test compares.
SUPPORTED = {
    "langchain-core": ("0.3.0", "1.7.2"),
    "langgraph": ("0.6.0", "1.2.22"),
    "llama-index-core": ("0.12.0", "0.14.25"),
}

_log = logging.getLogger("ironspan")
_told: set[str] = set()


class Missing:
    """Stands for a class that the installed version does not have: nothing is an instance of it."""

    def __class_getitem__(cls, _: Any) -> type[Missing]:
        return cls


def check(*packages: str) -> None:
    """Tells, once, of each package that is installed and older than supported."""
    for package in packages:
        found = _found(package)
        if found is not None and _numbers(found) < _numbers(SUPPORTED[package][0]):
            _tell(package, found, "is older than ironspan supports")


def take(package: str, module: str, name: str, otherwise: Any = Missing) -> Any:
    """What `name` is in `module`, or `otherwise` where the installed version of `package` does not have it."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        check(package)
        _tell(package, _found(package) or "(unknown version)", f"has no {module}.{name}")
        return otherwise


def _tell(package: str, found: str, what: str) -> None:
    if package not in _told:
        _told.add(package)
        oldest, newest = SUPPORTED[package]
        _log.warning(
            "%s %s %s; less may be recorded. Supported is %s or newer, tested up to %s",
            package,
            found,
            what,
            oldest,
            newest,
        )


def _found(package: str) -> str | None:
    try:
        return metadata.version(package)
    except Exception:
        # Without metadata, in a frozen program say, nothing can be said about the version.
        return None


def _numbers(version: str) -> list[int]:
    """The release part of a version. Only the first three numbers count: a release candidate counts as its release."""
    numbers = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    return numbers
