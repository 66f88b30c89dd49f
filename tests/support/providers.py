"""Recorded answers of model providers, replayed to the providers' own packages over loopback.

A file of `tests/data/providers` holds cases: the answer as the provider documents it (`wire`), the result that
LangChain's package for it makes of the answer (`result`, dumped with the package and version that the file names), and
what a span must say of it (`expected`). Where the package is installed the wire is replayed to it; where it is not,
the result is rebuilt with langchain-core alone.
"""

from __future__ import annotations

import binascii
import importlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from langchain_core import messages
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

__all__ = ["FOLDER", "MODELS", "dumped", "files", "is_installed", "is_streamed", "model_of", "rebuilt", "replayed"]

FOLDER = Path(__file__).parents[1] / "data" / "providers"

#: Fields of a message that the packages fill.
_FIELDS = (
    "content",
    "additional_kwargs",
    "response_metadata",
    "usage_metadata",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_chunks",
    "id",
)


def files() -> dict[str, dict[str, Any]]:
    """The recorded files by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


# Packages


def _openai(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_openai")
    # A base URL of one's own turns usage in streams off unless it is asked for.
    return module.ChatOpenAI(model="gpt-4o", api_key="none", base_url=f"{url}/v1", **{"stream_usage": True, **options})


def _anthropic(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_anthropic")
    return module.ChatAnthropic(model="claude-sonnet-4-5", api_key="none", base_url=url, max_retries=0, **options)


def _google(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_google_genai")
    return module.ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="none", base_url=url, **options)


def _bedrock(url: str, invoke: bool = False, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_aws")
    make = module.ChatBedrock if invoke else module.ChatBedrockConverse
    return make(
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        region_name="eu-north-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        endpoint_url=url,
        **options,
    )


def _mistral(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_mistralai")
    return module.ChatMistralAI(model="m", api_key="none", endpoint=f"{url}/v1", max_retries=0, **options)


def _ollama(url: str, **options: Any) -> BaseChatModel:
    return importlib.import_module("langchain_ollama").ChatOllama(model="llama3.2", base_url=url, **options)


def _groq(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_groq")
    return module.ChatGroq(model="m", api_key="none", base_url=url, max_retries=0, **options)


def _deepseek(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_deepseek")
    return module.ChatDeepSeek(model="m", api_key="none", api_base=url, **{"stream_usage": True, **options})


def _cohere(url: str, **options: Any) -> BaseChatModel:
    module = importlib.import_module("langchain_cohere")
    return module.ChatCohere(model="m", cohere_api_key="none", base_url=url, **options)


MODELS: dict[str, Callable[..., BaseChatModel]] = {
    "langchain-openai": _openai,
    "langchain-anthropic": _anthropic,
    "langchain-google-genai": _google,
    "langchain-aws": _bedrock,
    "langchain-mistralai": _mistral,
    "langchain-ollama": _ollama,
    "langchain-groq": _groq,
    "langchain-deepseek": _deepseek,
    "langchain-cohere": _cohere,
}


def is_installed(package: str) -> bool:
    """Whether a provider's package for LangChain can be imported."""
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def model_of(file: dict[str, Any], case: dict[str, Any], url: str) -> BaseChatModel:
    """The package's chat model, which asks `url`."""
    return MODELS[file["package"]](url, **file.get("options", {}), **case.get("options", {}))


def is_streamed(case: dict[str, Any]) -> bool:
    """Whether the answer comes in pieces."""
    return "response" not in case["wire"]


# Replay


@contextmanager
def replayed(wire: dict[str, Any]) -> Iterator[str]:
    """The address of a server that answers everything with one recorded answer."""
    body, kind = _body(wire)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in wire.get("headers", {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _body(wire: dict[str, Any]) -> tuple[bytes, str]:
    """What the provider sends, and its content type: JSON, lines of JSON, server-sent events or Amazon's own frames."""
    if "response" in wire:
        return json.dumps(wire["response"]).encode(), "application/json"
    if "lines" in wire:
        return "".join(json.dumps(line) + "\n" for line in wire["lines"]).encode(), "application/x-ndjson"
    if wire["path"].endswith("converse-stream"):
        return b"".join(map(_frame, wire["events"])), "application/vnd.amazon.eventstream"
    text = "".join(map(_event, wire["events"]))
    if wire["path"].endswith("/chat/completions"):
        text += "data: [DONE]\n\n"
    return text.encode(), "text/event-stream"


def _event(event: dict[str, Any]) -> str:
    if "event" in event and "data" in event:
        return f"event: {event['event']}\ndata: {json.dumps(event['data'])}\n\n"
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n"


def _frame(event: dict[str, Any]) -> bytes:
    """One message of the encoding `vnd.amazon.eventstream`: lengths, checksum, headers, payload, checksum."""
    ((name, payload),) = event.items()
    headers = b""
    for key, value in ((":message-type", "event"), (":event-type", name), (":content-type", "application/json")):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


# Dumps


def dumped(result: LLMResult) -> dict[str, Any]:
    """A result as JSON: what the packages fill, and the classes."""
    choices = []
    for generation in result.generations[0]:
        message = generation.message  # type: ignore[union-attr]
        fields = {name: getattr(message, name) for name in _FIELDS if getattr(message, name, None)}
        fields["content"] = message.content
        choices.append({"class": type(message).__name__, **fields, "generation_info": generation.generation_info})
    # Through text, so that a file and a dump compare equal.
    return json.loads(json.dumps({"llm_output": result.llm_output, "choices": choices}, default=_plain))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else str(value)


def rebuilt(dump: dict[str, Any]) -> LLMResult:
    """The result that was dumped."""
    choices = []
    for choice in dump["choices"]:
        fields = {name: choice[name] for name in _FIELDS if name in choice}
        message = getattr(messages, choice["class"])(**fields)
        wrapper = ChatGenerationChunk if isinstance(message, messages.AIMessageChunk) else ChatGeneration
        choices.append(wrapper(message=message, generation_info=choice["generation_info"]))
    return LLMResult(generations=[choices], llm_output=dump["llm_output"])
