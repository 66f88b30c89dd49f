"""Which model a run asks for, from whom, with which parameters and tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["model_of", "params_of", "provider_of", "tools_of"]

#: LangChain's words for providers, to the conventions' (GenAI semantic conventions, provider name). Words that are the
#: same in both are not listed.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "google_anthropic_vertex": "gcp.vertex_ai",
    "amazon_bedrock": "aws.bedrock",
    "anthropic-bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "together": "together_ai",
    "ibm": "ibm.watsonx.ai",
    "watsonx": "ibm.watsonx.ai",
    "moonshot": "moonshot_ai",
}
#: `_llm_type` of model classes that give no provider.
_MODEL_TYPES = {
    "openai-chat": "openai",
    "openai": "openai",
    "azure-openai-chat": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "anthropic-chat": "anthropic",
    "chat-google-generative-ai": "gcp.gemini",
    "vertexai": "gcp.vertex_ai",
    "amazon_bedrock_chat": "aws.bedrock",
    "amazon_bedrock_converse_chat": "aws.bedrock",
    "mistralai-chat": "mistral_ai",
    "groq-chat": "groq",
    "cohere-chat": "cohere",
    "chat-ollama": "ollama",
    "ollama-llm": "ollama",
    "xai-chat": "x_ai",
    "chat-deepseek": "deepseek",
    "fireworks-chat": "fireworks",
    "IBM watsonx.ai": "ibm.watsonx.ai",
}
_MODEL_KEYS = ("model", "model_name", "model_id", "modelId", "deployment_name", "azure_deployment", "engine")

#: Providers' words for the parameters that the conventions name.
_PARAMS = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "max_new_tokens": "max_tokens",
    "maxTokens": "max_tokens",
    "num_predict": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "k": "top_k",
    "stop_sequences": "stop",
    "stopSequences": "stop",
    "candidate_count": "n",
}
#: What invocation parameters carry besides parameters: shown elsewhere, or of no use to a reader.
_NOT_PARAMS = frozenset(
    {
        *_MODEL_KEYS,
        "_type",
        "tools",
        "functions",
        "messages",
        "messages_with_tool_prompt",
        "ls_structured_output_format",
        "streaming",
    }
)
#: Parts of a name that make its value a secret. `max_tokens` holds no "token", so whole words are compared.
_SECRET_WORDS = frozenset(
    {"key", "apikey", "secret", "secrets", "password", "passwd", "token", "auth", "authorization", "credential",
     "credentials", "cookie", "cookies", "header", "headers", "bearer", "certificate"}
)  # fmt: skip
_WORD_BREAK = re.compile(r"[^a-zA-Z0-9]+|(?<=[a-z])(?=[A-Z])")
#: A parameter is a setting, not a payload.
_LONGEST = 1_024


def provider_of(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """Who serves the model, by LangChain's own declaration first."""
    declared = metadata.get("ls_provider")
    if isinstance(declared, str) and declared:
        return _PROVIDERS.get(declared, declared)
    kind = params.get("_type")
    return _MODEL_TYPES.get(kind) if isinstance(kind, str) else None


def model_of(metadata: Mapping[str, Any], params: Mapping[str, Any], serialized: Any, fallback: str) -> str:
    """The model asked for; the name of the class when the framework does not say."""
    own = serialized.get("kwargs") if isinstance(serialized, Mapping) else None
    candidates = [metadata.get("ls_model_name"), *(params.get(key) for key in _MODEL_KEYS)]
    if isinstance(own, Mapping):
        candidates += [own.get(key) for key in _MODEL_KEYS]
    return next((name for name in candidates if isinstance(name, str) and name), fallback)


def params_of(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request's parameters under the conventions' names, without secrets, tools and messages."""
    found: dict[str, Any] = {}
    for key, name in (("ls_temperature", "temperature"), ("ls_max_tokens", "max_tokens"), ("ls_stop", "stop")):
        if metadata.get(key) is not None:
            found[name] = metadata[key]
    for key, value in params.items():
        if not isinstance(key, str) or key in _NOT_PARAMS or value is None or _is_secret(key):
            continue
        if _is_setting(value):
            found[_PARAMS.get(key, key)] = value
    return found or None


def tools_of(params: Mapping[str, Any]) -> Any:
    """The tool definitions sent along, in the provider's shape."""
    return params.get("tools") or params.get("functions") or None


def _is_secret(name: str) -> bool:
    return any(word.lower() in _SECRET_WORDS for word in _WORD_BREAK.split(name))


def _is_setting(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST
    if isinstance(value, bool | int | float):
        return True
    if isinstance(value, list | tuple):
        return len(value) <= 64 and all(isinstance(item, str | int | float) for item in value)
    if isinstance(value, Mapping):
        return (
            len(value) <= 64
            and not any(_is_secret(str(key)) for key in value)
            and all(map(_is_setting, value.values()))
        )
    return False
