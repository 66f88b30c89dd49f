"""A chat model without a network: it says what the script has for it, takes its time, and counts tokens and dollars.

Tokens are counted on the real messages, so a longer conversation costs more, as it does with a provider. Prices are
those of the providers' lists, in US dollars for a million tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ironspan

__all__ = ["PRICES", "Pace", "Reply", "chat", "price", "stream", "tokens", "tool_call"]

#: Dollars for a million tokens of input and of output.
PRICES: dict[str, tuple[float, float]] = {
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "o4-mini": (1.10, 4.40),
    "claude-sonnet-4-5": (3.00, 15.00),
    "claude-haiku-4-5": (1.00, 5.00),
    "gemini-2.5-flash": (0.30, 2.50),
    "text-embedding-3-small": (0.02, 0.0),
}


def tokens(value: object) -> int:
    """Words and signs of a text or of the JSON of anything else: near a tokenizer's count, the same everywhere."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return len(re.findall(r"\w+|[^\w\s]", text))


def price(model: str, input: int, output: int = 0) -> float | None:
    """What a call costs; ``None`` for a model that is not in the list."""
    each = PRICES.get(model)
    return None if each is None else round((input * each[0] + output * each[1]) / 1e6, 9)


class Pace:
    """How long things take: ``speed`` times faster than the script says, 0 for not at all.

    Attributes:
        stopped: Set to end every wait; a wait after that raises ``KeyboardInterrupt``.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.stopped = threading.Event()

    def wait(self, seconds: float) -> None:
        """Waits as long as a step of ``seconds`` takes."""
        if self.speed > 0 and self.stopped.wait(seconds / self.speed):
            raise KeyboardInterrupt


@dataclass
class Reply:
    """What the model says: a text, or calls of tools."""

    text: str = ""
    calls: Sequence[dict[str, Any]] = field(default_factory=tuple)

    def message(self) -> dict[str, Any]:
        """The message in the shape of the OpenAI API."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            said["tool_calls"] = list(self.calls)
        return said

    def tokens(self) -> int:
        """Tokens of what is said."""
        return tokens(self.text) + sum(tokens(call["function"]) for call in self.calls)


def tool_call(name: str, **arguments: object) -> dict[str, Any]:
    """A call of a tool, in the shape of the OpenAI API; its id follows from what is called."""
    text = json.dumps(arguments)
    digest = hashlib.sha256(f"{name} {text}".encode()).hexdigest()[:12]
    return {"id": f"call_{digest}", "type": "function", "function": {"name": name, "arguments": text}}


def _usage(span: ironspan.Span, model: str, sent: int, said: int) -> None:
    span.usage(input=sent, output=said)
    cost = price(model, sent, said)
    if cost is not None:
        span.cost(total=cost)


def chat(
    name: str,
    model: str,
    messages: list[dict[str, Any]],
    reply: Reply,
    *,
    seconds: float,
    pace: Pace,
    tools: list[dict[str, Any]] | None = None,
) -> Reply:
    """One call of a model, as a span of its own."""
    params = {"temperature": 0.2, "max_tokens": 800}
    with ironspan.generation(
        model, provider="openai", name=name, messages=messages, params=params, tools=tools
    ) as span:
        pace.wait(seconds)
        _usage(span, model, tokens(messages) + (tokens(tools) if tools else 0), reply.tokens())
        span.output(reply.message()).finish("tool_calls" if reply.calls else "stop")
    return reply


def stream(
    name: str, model: str, messages: list[dict[str, Any]], reply: Reply, *, seconds: float, pace: Pace
) -> Iterator[str]:
    """The same, word by word."""
    words = re.findall(r"\S+\s*", reply.text)
    first = seconds * 0.3

    def arriving() -> Iterator[str]:
        pace.wait(first)
        for word in words:
            pace.wait((seconds - first) / len(words))
            yield word

    with ironspan.generation(model, provider="openai", name=name, messages=messages) as span:
        yield from span.stream(arriving())
        _usage(span, model, tokens(messages), reply.tokens())
        span.finish("stop")
