"""ironspan: one call for the destination, one for the frameworks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import ironspan

__all__ = ["start"]


class _Ironspan:
    def callbacks(self) -> list[Any]:
        return []

    def handlers(self) -> list[Any]:
        from ironspan.langchain import CallbackHandler

        return [CallbackHandler()]

    def span(self, name: str) -> AbstractContextManager[Any]:
        return ironspan.span(name)

    def traced(self, name: str) -> Callable[[Any], Any]:
        return ironspan.span(name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return ironspan.agent(name)

    def flush(self) -> None:
        ironspan.flush(10.0)


def start(endpoint: str) -> _Ironspan:
    ironspan.init("conformance", exporters=[ironspan.exporters.Otlp(endpoint=endpoint)])
    ironspan.instrument()
    return _Ironspan()
