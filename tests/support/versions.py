"""What a test needs that the oldest supported frameworks do not have yet."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

__all__ = ["is_older", "since"]


def is_older(package: str, version: str) -> bool:
    """Whether the installed `package` is older than `version`, or not there at all."""
    return _numbers(_found(package)) < _numbers(version)


def since(package: str, version: str, what: str) -> pytest.MarkDecorator:
    """Skips the test where `package` is older than `version`, and says why: `what` came with it."""
    reason = f"{what} since {package} {version}; here is {_found(package) or 'none'}"
    return pytest.mark.skipif(is_older(package, version), reason=reason)


def _found(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
