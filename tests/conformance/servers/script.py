"""What the stub servers answer: rules that a program writes down, chosen by what a request says.

The rules know nothing of a provider's protocol; `openai.py` and `anthropic.py` put the same answers into theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Call", "Script", "Usage"]

#: How long `arrived` waits for a request, and a server that hangs for its client to go away.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` and `output` are totals: cached and written tokens are in the one, reasoning is in the other."""

    input: int = 10
    output: int = 5
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Call:
    """A call of a tool that the model asks for."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = "call_1"


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: What the model says. A stream sends it word by word.
        calls: Tools that it asks for.
        usage: Tokens that it counts.
        thinking: What it thought before, for providers that show it.
        finish: Why it stopped: "stop", "tool_calls" or "length". Empty: whichever of the first two fits.
        status: An HTTP error instead of an answer.
        breaks: A stream goes down after the text: no reason for the end, no usage, no closing message.
        hangs: Nothing is sent until the client goes away; of a stream the text, but not its end.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    usage: Usage = Usage()
    thinking: str = ""
    finish: str = ""
    status: int = 200
    breaks: bool = False
    hangs: bool = False

    @property
    def reason(self) -> str:
        """Why the model stopped."""
        return self.finish or ("tool_calls" if self.calls else "stop")

    def pieces(self) -> list[str]:
        """The text as a stream brings it: words, each but the first with the space before it."""
        first, *others = self.text.split(" ")
        return [first, *(f" {word}" for word in others)] if self.text else []


@dataclass
class _Rule:
    when: str
    system: str
    answers: list[Answer]


class Script:
    """The rules of one program. Requests may come from several threads at once."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._asked: list[str] = []
        self._changed = threading.Condition()

    def when(self, text: str, *answers: Answer | str, system: str = "") -> None:
        """Answers requests whose last message holds `text`, and whose system prompt holds `system`.

        The first rule that fits is taken. Of several answers each is given once, in this order, and the last one for
        ever; a plain string is an answer with that text.
        """
        given = [Answer(answer) if isinstance(answer, str) else answer for answer in answers]
        self._rules.append(_Rule(text, system, given))

    def answer(self, last: str, system: str) -> Answer | None:
        """The answer for a request with this last message and system prompt; None if there is no rule for it."""
        with self._changed:
            self._asked.append(last)
            self._changed.notify_all()
            for rule in self._rules:
                if rule.when in last and rule.system in system:
                    return rule.answers.pop(0) if len(rule.answers) > 1 else rule.answers[0]
        return None

    def arrived(self, text: str) -> None:
        """Waits until a request whose last message holds `text` has arrived."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(text in asked for asked in self._asked), PATIENCE_SECONDS):
                raise TimeoutError(f"no request with {text!r} arrived")
