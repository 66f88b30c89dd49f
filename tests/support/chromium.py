"""Which Chromium of this machine the tests and the benches drive; none is ever downloaded."""

from __future__ import annotations

import os
import shutil

__all__ = ["ARGUMENTS", "program"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs rights that a container often lacks; only pages of ours are opened.
ARGUMENTS = ["--no-sandbox"]


def program() -> str | None:
    """Its path; IRONSPAN_TEST_CHROMIUM names one that is not on the PATH."""
    return os.environ.get("IRONSPAN_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
