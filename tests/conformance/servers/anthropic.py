"""A stub of Anthropic's API: messages, streamed or not, with tools, thinking and cache tokens.

Usage follows the real one: `input_tokens` leaves out what was read from or written to the cache, and a stream tells the
usage at its beginning and, complete, near its end.
"""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.servers.http import Handler
from tests.conformance.servers.openai import text_of
from tests.conformance.servers.script import Answer

__all__ = ["Anthropic"]

_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_ERRORS = {429: "rate_limit_error", 500: "api_error"}


def _last(content: Any) -> str:
    """The text of the last message; a tool's result is a part with a content of its own."""
    if isinstance(content, str):
        return content
    return " ".join(text_of(p.get("content")) if p["type"] == "tool_result" else text_of([p]) for p in content)


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "input_tokens": usage.input - usage.cached - usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_write,
        "output_tokens": usage.output,
    }


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": "c2lnbmVk"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    blocks += ({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in answer.calls)
    return blocks


class Anthropic(Handler):
    """Answers `/v1/messages`."""

    def reply(self, path: str, asked: dict[str, Any]) -> None:
        system, last = text_of(asked.get("system")), _last(asked["messages"][-1]["content"])
        answer = self.script.answer(last, system)
        if answer is None:
            return self._error(400, f"no answer is scripted for {last!r} (system prompt: {system!r})")
        if answer.status != 200:
            return self._error(answer.status, answer.text or "the model is not available")
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
        if asked.get("stream"):
            return self._stream(head, answer)
        if answer.hangs:
            return self.hang()
        end = {"stop_reason": _REASONS[answer.reason], "stop_sequence": None}
        self.send_json(200, {**head, "content": _blocks(answer), **end, "usage": _usage(answer)})

    def _stream(self, head: dict[str, Any], answer: Answer) -> None:
        def send(kind: str, **more: Any) -> None:
            self.send_event({"type": kind, **more}, event=kind)

        self.begin_events()
        begun = {**_usage(answer), "output_tokens": 1}
        start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
        send("message_start", message=start)
        for index, block in enumerate(_blocks(answer)):
            if block["type"] == "text":
                empty: dict[str, Any] = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in answer.pieces()]
            elif block["type"] == "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            else:
                empty = {**block, "input": {}}
                text = json.dumps(block["input"])
                half = len(text) // 2
                deltas = [{"type": "input_json_delta", "partial_json": part} for part in (text[:half], text[half:])]
            send("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                send("content_block_delta", index=index, delta=delta)
            if block["type"] == "text" and answer.breaks:
                return self.break_off()
            if block["type"] == "text" and answer.hangs:
                return self.hang()
            send("content_block_stop", index=index)
        end = {"stop_reason": _REASONS[answer.reason], "stop_sequence": None}
        send("message_delta", delta=end, usage=_usage(answer))
        send("message_stop")
        self.end_events()

    def _error(self, status: int, message: str) -> None:
        self.send_json(
            status,
            {"type": "error", "error": {"type": _ERRORS.get(status, "invalid_request_error"), "message": message}},
        )
