"""Exceptions of ironspan: one root, so that a single ``except`` catches all.

Nothing of these is raised while spans are recorded. Configuration fails early and loudly, reading a store says why it
cannot; spans never fail.
"""

from __future__ import annotations

__all__ = ["ConfigError", "IronspanError", "StoreError"]


class IronspanError(Exception):
    """Root of all exceptions that ironspan raises."""


class ConfigError(IronspanError, ValueError):
    """A wrong argument to ``init()``, an exporter or a mask; the text names it and says what to write instead."""


class StoreError(IronspanError):
    """A store that cannot be read, or a question to it that makes no sense; the text says which and why."""
