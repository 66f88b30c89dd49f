"""Exceptions of ironspan: one root, so that a single ``except`` catches all.

Nothing of these is raised at run time. Configuration fails early and loudly; spans never fail.
"""

from __future__ import annotations

__all__ = ["ConfigError", "IronspanError"]


class IronspanError(Exception):
    """Root of all exceptions that ironspan raises."""


class ConfigError(IronspanError, ValueError):
    """A wrong argument to ``init()``, an exporter or a mask; the text names it and says what to write instead."""
