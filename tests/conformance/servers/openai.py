"""A stub of OpenAI's API: chat completions, completions and embeddings, streamed or not, with tools and usage.

Usage follows the real one: a stream has it in a last chunk without choices, and only when `stream_options` asks for it.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from tests.conformance.servers.http import Handler
from tests.conformance.servers.script import Answer, Usage

__all__ = ["OpenAI", "embed"]

_ERRORS = {429: "rate_limit_exceeded", 500: "server_error"}


def text_of(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content or () if isinstance(part, dict))


def embed(text: str) -> list[float]:
    """A vector of 26 letter counts: the same letters are near each other."""
    counts = [float(text.lower().count(chr(ord("a") + letter))) for letter in range(26)]
    length = sum(count * count for count in counts) ** 0.5 or 1.0
    return [count / length for count in counts]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _calls(answer: Answer, *, numbered: bool) -> list[dict[str, Any]]:
    return [
        {
            **({"index": index} if numbered else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(answer.calls)
    ]


class OpenAI(Handler):
    """Answers `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`."""

    def reply(self, path: str, asked: dict[str, Any]) -> None:
        if path.endswith("/embeddings"):
            return self._embeddings(asked)
        chat = path.endswith("/chat/completions")
        if chat:
            messages = asked["messages"]
            system = " ".join(text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer"))
            last = text_of(messages[-1].get("content"))
        else:
            system, last = "", " ".join(asked["prompt"]) if isinstance(asked["prompt"], list) else asked["prompt"]
        answer = self.script.answer(last, system)
        if answer is None:
            return self._error(400, f"no answer is scripted for {last!r} (system prompt: {system!r})")
        if answer.status != 200:
            return self._error(answer.status, answer.text or "the model is not available")
        if asked.get("stream"):
            return self._stream(asked, answer, chat)
        if answer.hangs:
            return self.hang()
        if chat:
            message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
            if answer.calls:
                message["tool_calls"] = _calls(answer, numbered=False)
            choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answer.reason}
        else:
            choice = {"index": 0, "text": answer.text, "finish_reason": answer.reason, "logprobs": None}
        self.send_json(200, {**self._head(asked, chat, False), "choices": [choice], "usage": _usage(answer.usage)})

    def _stream(self, asked: dict[str, Any], answer: Answer, chat: bool) -> None:
        head = self._head(asked, chat, True)

        def send(delta: dict[str, Any] | str, reason: str | None = None) -> None:
            choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "delta" if chat else "text": delta}
            self.send_event({**head, "choices": [choice]})

        self.begin_events()
        if chat:
            send({"role": "assistant", "content": ""})
        for piece in answer.pieces():
            send({"content": piece} if chat else piece)
        if answer.breaks:
            return self.break_off()
        if answer.hangs:
            return self.hang()
        for call in _calls(answer, numbered=True):
            # The name first, then the arguments in two halves, as the real one does.
            function, arguments = call["function"], call["function"]["arguments"]
            half = len(arguments) // 2
            send({"tool_calls": [{**call, "function": {**function, "arguments": ""}}]})
            for part in (arguments[:half], arguments[half:]):
                send({"tool_calls": [{"index": call["index"], "function": {"arguments": part}}]})
        send({} if chat else "", answer.reason)
        if (asked.get("stream_options") or {}).get("include_usage"):
            self.send_event({**head, "choices": [], "usage": _usage(answer.usage)})
        self.send_event("[DONE]")
        self.end_events()

    def _embeddings(self, asked: dict[str, Any]) -> None:
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        data = []
        for index, text in enumerate(texts):
            vector: Any = embed(str(text))
            if asked.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        used = sum(len(str(text).split()) for text in texts)
        usage = {"prompt_tokens": used, "total_tokens": used}
        self.send_json(200, {"object": "list", "data": data, "model": asked["model"], "usage": usage})

    def _error(self, status: int, message: str) -> None:
        kind = _ERRORS.get(status, "invalid_request_error")
        self.send_json(status, {"error": {"message": message, "type": kind, "code": kind, "param": None}})

    @staticmethod
    def _head(asked: dict[str, Any], chat: bool, streamed: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if streamed else "chat.completion") if chat else "text_completion"
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": asked["model"]}
