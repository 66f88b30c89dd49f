"""Apps that several scenarios run: make some spans and leave, make them steadily, time each one."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.app import App
from tests.faults.probe import Stopwatch, percentile

__all__ = ["BIG", "hurry", "leave", "make", "paced", "steady"]

# A thousand bytes that do not compress to nothing.
BIG = "".join(chr(33 + (n * n + 7 * n) % 90) for n in range(1000))


def make(ironspan: Any, count: int, name: str = "s", **attributes: Any) -> None:
    """`count` spans with a running number and the given attributes."""
    for number in range(count):
        with ironspan.span(name) as span:
            span.set("number", number)
            for key, value in attributes.items():
                span.set(key, value)


def leave(app: App, endpoint: str, spans: int, options: dict[str, Any] | None = None) -> None:
    """Make spans and end the normal way, without a flush."""
    make(app.init(endpoint, **(options or {})), spans)


def steady(app: App, endpoint: str, seconds: float, rate: float, options: dict[str, Any] | None = None) -> None:
    """One span at a time, `rate` per second."""
    ironspan = app.init(endpoint, **(options or {}))
    due = time.monotonic()
    end = due + seconds
    while due < end:
        make(ironspan, 1)
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


def hurry(app: App, endpoint: str, spans: int, chunk: int, wait: float = 20.0) -> None:
    """`spans` in chunks, each followed by a flush, so that there are many requests. Counts warnings of our logger."""
    import logging

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.getLogger("ironspan")
    logger.addHandler(Keep(logging.WARNING))
    logger.propagate = False
    ironspan = app.init(endpoint)
    for _ in range(spans // chunk):
        make(ironspan, chunk)
        ironspan.flush(wait)
    app.emit("log", lines=lines)


def paced(app: App, endpoint: str, seconds: float, rate: float) -> None:
    """Times each span, from its creation to its end, at a steady rate; attributes as an agent would set them."""
    ironspan = app.init(endpoint)
    watch = Stopwatch()

    def one() -> None:
        with ironspan.span("call") as span:
            span.set("gen_ai.request.model", "gpt-4o")
            span.set("gen_ai.usage.input_tokens", 812)
            span.set("score", 0.75)

    for _ in range(200):
        one()
    taken = []
    due = time.monotonic()
    end = due + seconds
    while due < end:
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        taken.append(watch.time(one))
    app.emit("latency", p50=percentile(taken, 0.5), p99=percentile(taken, 0.99), max=max(taken), count=len(taken))
