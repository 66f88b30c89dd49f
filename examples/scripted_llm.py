"""A LlamaIndex model without a network: it gives the answers of a script in their order, texts or tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

__all__ = ["ScriptedLLM", "call"]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """What the script says for a tool call."""
    return {"id": f"call-{name}", "name": name, "arguments": arguments}


class ScriptedLLM(FunctionCallingLLM):
    """Says the next item of `script` at each call; streams it word by word."""

    script: list[Any]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o-mini", is_function_calling_model=True)

    def _next(self, asked: Any) -> ChatResponse:
        said = self.script.pop(0)
        text, calls = ("", [said]) if isinstance(said, dict) else (said, [])
        message = ChatMessage(role="assistant", content=text, additional_kwargs={"tool_calls": calls} if calls else {})
        usage = {"prompt_tokens": len(str(asked).split()), "completion_tokens": len(str(said).split())}
        return ChatResponse(message=message, raw={"usage": usage})

    def _pieces(self, asked: Any) -> list[ChatResponse]:
        whole = self._next(asked)
        words = (whole.message.content or "").split(" ")
        begun = [
            ChatResponse(message=ChatMessage(role="assistant", content=" ".join(words[:count])), delta=words[count - 1])
            for count in range(1, len(words))
        ]
        return [*begun, whole.model_copy(update={"delta": words[-1]})]

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
        return self._next(messages)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
        return self._next(messages)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
        return (piece for piece in self._pieces(messages))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
        async def stream() -> Any:
            for piece in self._pieces(messages):
                yield piece

        return stream()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        said = self._next(prompt)
        return CompletionResponse(text=said.message.content or "", raw=said.raw)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return self.complete(prompt, formatted, **kwargs)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return iter([self.complete(prompt, formatted, **kwargs)])

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        async def stream() -> Any:
            yield self.complete(prompt, formatted, **kwargs)

        return stream()

    # What `FunctionAgent` asks of a model.

    def _prepare_chat_with_tools(self, tools: Any, *_: Any, chat_history: Any = None, **__: Any) -> dict[str, Any]:
        return {"messages": list(chat_history or []), "tools": [tool.metadata.to_openai_tool() for tool in tools]}

    def get_tool_calls_from_response(self, response: ChatResponse, *_: Any, **__: Any) -> list[ToolSelection]:
        return [
            ToolSelection(tool_id=each["id"], tool_name=each["name"], tool_kwargs=each["arguments"])
            for each in response.message.additional_kwargs.get("tool_calls", [])
        ]
