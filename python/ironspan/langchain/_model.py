"""Which model a run asks for, and the parameters of the request as LangChain knows them.

What the parameters, the answer and its usage mean is worked out by the core, which knows the words of all providers.
"""

from __future__ import annotations

from typing import Any

__all__ = ["answer_of", "model_of", "params_of"]

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
