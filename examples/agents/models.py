"""A chat model without a network: it plays a script, and reports usage as a provider would.

Each turn of the script is a function from the conversation so far to the next message, so that answers can be made of
what tools really returned. Tokens are counted on the real messages; a conversation that repeats its beginning reads
that part from the cache, as it does with providers that cache prompts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool


@dataclass
class Turn:
    """What the model says: text, or tool calls, after a thought that is billed and not shown."""

    text: str = ""
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    thought: str = ""


Script = Callable[[list[BaseMessage]], Turn]


def tokens(text: str) -> int:
    """Words and signs: near enough to a tokenizer's count, and the same everywhere."""
    return len(re.findall(r"\w+|[^\w\s]", text))


class ScriptedChatModel(BaseChatModel):
    """Answers with the turn of `script` that is due: one per answer already in the conversation."""

    model_name: str
    script: list[Script]
    provider: str = "openai"
    temperature: float = 0.0
    max_tokens: int = 800
    seconds_per_token: float = 0.001

    @property
    def _llm_type(self) -> str:
        return f"{self.provider}-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_provider": self.provider}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        reply = self._reply(messages, kwargs.get("tools"))
        time.sleep(reply.seconds)
        return ChatResult(generations=[ChatGeneration(message=reply.message)])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        reply = self._reply(messages, kwargs.get("tools"))
        await asyncio.sleep(reply.seconds)
        return ChatResult(generations=[ChatGeneration(message=reply.message)])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages, kwargs.get("tools"))
        chunks = reply.chunks()
        for chunk in chunks:
            time.sleep(reply.seconds / len(chunks))
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self._reply(messages, kwargs.get("tools"))
        chunks = reply.chunks()
        for chunk in chunks:
            await asyncio.sleep(reply.seconds / len(chunks))
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _reply(self, messages: list[BaseMessage], tools: Any) -> _Reply:
        answered = [at for at, message in enumerate(messages) if isinstance(message, AIMessage)]
        turn = self.script[len(answered)](messages)
        calls = [
            {"name": name, "args": args, "id": _identity("call", messages, name, number)}
            for number, (name, args) in enumerate(turn.calls)
        ]
        offered = tokens(json.dumps(tools)) if tools else 0
        sent = offered + sum(map(_tokens_of, messages))
        # The prompt of the call before is the beginning of this one.
        seen = offered + sum(map(_tokens_of, messages[: answered[-1]])) if answered else 0
        thought = tokens(turn.thought)
        written = thought + tokens(turn.text) + sum(tokens(json.dumps(call["args"])) + 4 for call in calls)
        message = AIMessage(
            content=turn.text,
            tool_calls=calls,
            usage_metadata=UsageMetadata(
                input_tokens=sent,
                output_tokens=written,
                total_tokens=sent + written,
                input_token_details={"cache_read": seen},
                output_token_details={"reasoning": thought},
            ),
            response_metadata={
                "id": _identity("chatcmpl", messages, self.model_name, len(answered)),
                "model_name": self.model_name,
                "finish_reason": "tool_calls" if calls else "stop",
            },
        )
        return _Reply(message, seconds=self.seconds_per_token * (20 + written))


@dataclass
class _Reply:
    message: AIMessage
    seconds: float

    def chunks(self) -> list[ChatGenerationChunk]:
        """The message in pieces: words first, then everything else with the last one."""
        whole = self.message
        words = re.findall(r"\S+\s*", str(whole.content)) or [""]
        pieces = [AIMessageChunk(content=word) for word in words[:-1]]
        last = AIMessageChunk(
            content=words[-1],
            tool_calls=whole.tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            chunk_position="last",
        )
        return [ChatGenerationChunk(message=piece) for piece in [*pieces, last]]


def _tokens_of(message: BaseMessage) -> int:
    calls = getattr(message, "tool_calls", None)
    return tokens(str(message.content)) + (tokens(json.dumps(calls)) if calls else 0) + 3


def _identity(prefix: str, messages: list[BaseMessage], *parts: object) -> str:
    told = "\n".join([*(str(message.content) for message in messages), *map(str, parts)])
    return f"{prefix}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
