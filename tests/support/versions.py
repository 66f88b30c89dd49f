"""What a test needs that the oldest supported frameworks do not have yet."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

__all__ = ["since"]


def since(package: str, version: str, what: str) -> pytest.MarkDecorator:
    """Skips the test where `package` is older than `version`, and says why: `what` came with it."""
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        found = ""
    reason = f"{what} since {package} {version}; here is {found or 'none'}"
    return pytest.mark.skipif(_numbers(found) < _numbers(version), reason=reason)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
