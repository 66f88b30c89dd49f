"""A language model for LlamaIndex that follows a script, an index over two documents, and agents made of both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field

__all__ = ["ScriptedModel", "index", "tool_call"]

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def tool_call(name: str, id: str = "call-1", **arguments: Any) -> dict[str, Any]:
    """What the model says when it calls a tool."""
    return {"id": id, "name": name, "arguments": arguments}


def index() -> VectorStoreIndex:
    documents = [Document(text="pools are small", id_="a"), Document(text="checkout is slow", id_="b")]
    return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=4))


class ScriptedModel(FunctionCallingLLM):
    """Gives the answers of `script` in their order: texts, tool calls, or exceptions to raise. Streams word by word."""

    script: list[Any] = Field(default_factory=lambda: ["one two three"])
    temperature: float = 0.25
    #: Seconds before each answer.
    delay: float = 0.0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o", is_function_calling_model=True)

    def _answer(self) -> ChatResponse:
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, BaseException):
            raise said
        calls = [said] if isinstance(said, dict) else []
        message = ChatMessage(
            role="assistant", content="" if calls else said, additional_kwargs={"tool_calls": calls} if calls else {}
        )
        return ChatResponse(message=message, raw={"id": "chatcmpl-1", "usage": USAGE})

    def _chunks(self) -> list[ChatResponse]:
        whole = self._answer()
        words = (whole.message.content or "").split(" ")
        chunks = []
        for count in range(1, len(words)):
            text = " ".join(words[:count])
            chunks.append(ChatResponse(message=ChatMessage(role="assistant", content=text), delta=words[count - 1]))
        return [*chunks, whole.model_copy(update={"delta": words[-1]})]

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await asyncio.sleep(self.delay)
        return self._answer()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        def stream() -> ChatResponseGen:
            yield from self._chunks()

        return stream()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        async def stream() -> ChatResponseAsyncGen:
            await asyncio.sleep(self.delay)
            for chunk in self._chunks():
                yield chunk

        return stream()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        answer = self._answer()
        return CompletionResponse(text=answer.message.content or "", raw=answer.raw)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        await asyncio.sleep(self.delay)
        return self.complete(prompt, formatted, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        def stream() -> CompletionResponseGen:
            for chunk in self._chunks():
                yield CompletionResponse(text=chunk.message.content or "", delta=chunk.delta)

        return stream()

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        async def stream() -> CompletionResponseAsyncGen:
            for chunk in self._chunks():
                yield CompletionResponse(text=chunk.message.content or "", delta=chunk.delta)

        return stream()

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {"messages": list(chat_history or []), "tools": [tool.metadata.to_openai_tool() for tool in tools]}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return [
            ToolSelection(tool_id=call["id"], tool_name=call["name"], tool_kwargs=call["arguments"])
            for call in response.message.additional_kwargs.get("tool_calls", [])
        ]
