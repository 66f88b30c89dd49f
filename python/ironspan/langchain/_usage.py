"""Token counts, finish reasons and response facts out of what chat and completion models return.

One meaning for all providers (GenAI semantic conventions, usage): input is the total including cached tokens, output
the total including reasoning; the parts are given beside them. A count that the provider did not report stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["finish_reasons", "response_facts", "token_usage"]

#: Names of each count over the providers, most specific first; a dot steps into a part.
_INPUT = (
    "input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count", "input_token_count", "promptTokenCount",
    "prompt_eval_count",
)  # fmt: skip
_OUTPUT = (
    "output_tokens", "completion_tokens", "outputTokens", "candidates_token_count", "generated_token_count",
    "candidatesTokenCount", "eval_count",
)  # fmt: skip
_CACHED = (
    "input_token_details.cache_read", "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens",
    "cached_content_token_count", "cachedContentTokenCount", "prompt_cache_hit_tokens",
)  # fmt: skip
_REASONING = (
    "output_token_details.reasoning", "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens", "thoughts_token_count", "thoughtsTokenCount",
)  # fmt: skip
#: Anthropic and Bedrock report cached tokens beside the input, not inside it.
_CACHED_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN_BESIDE = ("cache_creation_input_tokens", "cacheWriteInputTokens")

_REASON_NAMES = ("finish_reason", "stop_reason", "stopReason", "done_reason", "finishReason")
_MODEL_NAMES = ("model_name", "model", "model_id", "modelId")
#: Ids that LangChain makes up when the provider gave none.
_OWN_IDS = ("run-", "run--", "lc_run-")


def _number(counts: Mapping[str, Any], names: Iterable[str]) -> int | None:
    for name in names:
        value: Any = counts
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return None


def _written(counts: Mapping[str, Any]) -> int | None:
    details = counts.get("input_token_details")
    if not isinstance(details, Mapping):
        return None
    total = _number(details, ("cache_creation", "cache_write"))
    if total:
        return total
    # Anthropic by lifetime of the cache entry; the sum then stands at 0.
    parts = [value for key, value in details.items() if str(key).startswith("ephemeral_") and isinstance(value, int)]
    return sum(parts) if parts else total


def _read(counts: Mapping[str, Any]) -> dict[str, int]:
    input_tokens = _number(counts, _INPUT)
    cached, written = _number(counts, _CACHED), _written(counts)
    beside_read, beside_written = _number(counts, _CACHED_BESIDE), _number(counts, _WRITTEN_BESIDE)
    if "input_token_details" not in counts and (beside_read is not None or beside_written is not None):
        cached, written = beside_read, beside_written
        if input_tokens is not None:
            input_tokens += (beside_read or 0) + (beside_written or 0)
    found = {
        "input": input_tokens,
        "output": _number(counts, _OUTPUT),
        "cached": cached,
        "cache_write": written,
        "reasoning": _number(counts, _REASONING),
    }
    return {name: value for name, value in found.items() if value is not None}


def _places(result: Any) -> Iterable[Any]:
    # The first choice speaks for all: providers repeat the counts of the whole answer on each.
    for choices in getattr(result, "generations", None) or ():
        for generation in choices or ():
            message = getattr(generation, "message", None)
            metadata = getattr(message, "response_metadata", None)
            yield getattr(message, "usage_metadata", None)
            for holder in (metadata, getattr(generation, "generation_info", None)):
                if isinstance(holder, Mapping):
                    for name in ("token_usage", "usage", "usage_metadata"):
                        yield holder.get(name)
                    yield holder
    holder = getattr(result, "llm_output", None)
    if isinstance(holder, Mapping):
        for name in ("token_usage", "usage", "usage_metadata"):
            yield holder.get(name)


def token_usage(result: Any) -> dict[str, int]:
    """The token counts of an ``LLMResult``, as keyword arguments of ``Span.usage``; empty when none were reported."""
    for place in _places(result):
        if isinstance(place, Mapping) and (found := _read(place)):
            return found
    return {}


def finish_reasons(result: Any) -> list[str]:
    """Why the model stopped, one per choice that says so, in the provider's word."""
    reasons = []
    for choices in getattr(result, "generations", None) or ():
        for generation in choices or ():
            metadata = getattr(getattr(generation, "message", None), "response_metadata", None)
            for holder in (metadata, getattr(generation, "generation_info", None)):
                reason = _text(holder, _REASON_NAMES)
                if reason is not None:
                    reasons.append(reason)
                    break
    return reasons


def response_facts(result: Any) -> dict[str, str]:
    """Attributes that say which answer this was: response id and model, as the provider reported them."""
    facts: dict[str, str] = {}
    message = metadata = None
    for choices in getattr(result, "generations", None) or ():
        if choices:
            message = getattr(choices[0], "message", None)
            metadata = getattr(message, "response_metadata", None)
            break
    output = getattr(result, "llm_output", None)
    model = _text(metadata, _MODEL_NAMES) or _text(output, _MODEL_NAMES)
    if model is not None:
        facts["gen_ai.response.model"] = model
    own = getattr(message, "id", None)
    response_id = _text(metadata, ("id", "response_id")) or _text(output, ("id",))
    if response_id is None and isinstance(own, str) and not own.startswith(_OWN_IDS):
        response_id = own
    if response_id:
        facts["gen_ai.response.id"] = response_id
    for name in ("service_tier", "system_fingerprint"):
        if (value := _text(metadata, (name,)) or _text(output, (name,))) is not None:
            facts[f"openai.response.{name}"] = value
    return facts


def _text(holder: Any, names: Iterable[str]) -> str | None:
    if isinstance(holder, Mapping):
        for name in names:
            value = holder.get(name)
            if isinstance(value, str) and value:
                return value
    return None
