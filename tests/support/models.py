"""A chat model for tests: fixed answers, usage and response facts as a provider would report them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from pydantic import Field


class FixedChatModel(BaseChatModel):
    """Answers every call with `reply`; streams it word by word. With `hang`, it never answers."""

    reply: AIMessage = AIMessage(
        "one two three",
        usage_metadata={
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_token_details": {"cache_read": 80, "cache_creation": 5},
            "output_token_details": {"reasoning": 15},
        },
        response_metadata={"id": "chatcmpl-1", "model_name": "gpt-4o-2024-08-06", "finish_reason": "stop"},
    )
    failure: Exception | None = None
    hang: bool = False
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o", **self.params}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "azure", "ls_model_type": "chat", "ls_model_name": "gpt-4o", "ls_temperature": 0.25}

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return ChatResult(generations=[ChatGeneration(message=self.reply.model_copy())])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        if self.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self._generate(messages)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        words = str(self.reply.content).split()
        yield ChatGenerationChunk(message=AIMessageChunk(""))
        for word in words[:-1]:
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))
        if self.failure is not None:
            raise self.failure
        last = AIMessageChunk(
            words[-1], usage_metadata=self.reply.usage_metadata, response_metadata=self.reply.response_metadata
        )
        yield ChatGenerationChunk(message=last)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            await asyncio.sleep(0)
            yield chunk


def chain(**model: Any) -> Any:
    """Prompt, model, parser."""
    return ChatPromptTemplate.from_messages([("user", "{question}")]) | FixedChatModel(**model) | StrOutputParser()
