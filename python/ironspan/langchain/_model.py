"""Which model a run asks for, and the parameters of the request as LangChain knows them.

What the parameters, the answer and its usage mean is worked out by the core, which knows the words of all providers.
"""

from __future__ import annotations

from typing import Any

from ironspan import Span
from ironspan._runs import Run

__all__ = ["answer_of", "model_of", "params_of", "say_usage", "watches_usage"]

_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name", "azure_deployment", "engine")
#: LangChain's own declarations about a model, better than the parameters where both are there.
_DECLARED = ("ls_model_name", "ls_provider", "ls_temperature", "ls_max_tokens", "ls_stop")
#: Headers carry credentials under any name.
_LEFT_OUT = ("default_headers", "extra_headers", "headers", "ls_structured_output_format")


def model_of(metadata: dict[str, Any], params: dict[str, Any], serialized: Any, fallback: str) -> str:
    """The model asked for; the name of the class when the framework does not say."""
    name = metadata.get("ls_model_name")
    if isinstance(name, str) and name:
        return name
    own = serialized.get("kwargs") if isinstance(serialized, dict) else None
    for place in (params, own):
        if isinstance(place, dict):
            for key in _MODEL_KEYS:
                name = place.get(key)
                if isinstance(name, str) and name:
                    return name
    return fallback


def params_of(metadata: dict[str, Any], params: dict[str, Any], kind: str) -> dict[str, Any]:
    """Everything that is known about the request; `kind` is ``chat`` or ``llm``."""
    found = {key: metadata[key] for key in _DECLARED if key in metadata}
    found["ls_model_type"] = kind
    found.update(params)
    for key in _LEFT_OUT:
        found.pop(key, None)
    return found


def answer_of(response: Any) -> Any:
    """A model's result. That of a failed stream is in two lists: what had come, and what the error says."""
    generations = getattr(response, "generations", None)
    if isinstance(generations, list) and len(generations) > 1:
        return next((choices for choices in generations if choices), None)
    return response


def watches_usage(run: Run, chunk: Any) -> bool:
    """Whether the next chunk of the stream has to be looked at for what it counts.

    Some servers count everything so far in every chunk. LangChain adds that up, so that what it says in the end is a
    multiple of what was used: then the last chunk's own counts are right. They are told by the prompt, which no two
    chunks bring.
    """
    usage = getattr(getattr(chunk, "message", None), "usage_metadata", None)
    if not isinstance(usage, dict) or not usage.get("input_tokens"):
        return run.usage_repeats
    before, run.usage = run.usage, usage
    if before is not None:
        same = usage["input_tokens"] == before["input_tokens"]
        run.usage_repeats = same and usage.get("output_tokens", 0) >= before.get("output_tokens", 0)
    return before is None or run.usage_repeats


def say_usage(span: Span, usage: Any) -> None:
    """Records counts in LangChain's form instead of those of the result."""
    of_input, of_output = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    span.usage(
        input=usage.get("input_tokens"),
        output=usage.get("output_tokens"),
        cached=of_input.get("cache_read"),
        cache_write=of_input.get("cache_creation"),
        reasoning=of_output.get("reasoning"),
    )
