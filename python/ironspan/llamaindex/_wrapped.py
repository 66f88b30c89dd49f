"""Models of LlamaIndex around models of LangChain, and the other way round. See `ironspan._calls`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Hashable
from typing import Any

from ironspan import Span, _calls
from ironspan.llamaindex import _describe

__all__ = ["answer", "passes_on"]


def passes_on(key: Hashable, model: Any) -> bool:
    """Whether a call of the model needs no span: LangChain has one for it, or is about to.

    Args:
        key: The key of the call.
        model: LlamaIndex's model.
    """
    outer = _calls.wrapper("llamaindex")
    if outer is not None and isinstance(outer.span, Span):
        _calls.join(key, outer)
        outer.span.set("gen_ai.request.model", _describe.model_of(model))
        return True
    return _holds_recorded(model)


def answer(key: Hashable, result: Any) -> None:
    """Writes what a call returned on the span of LangChain's call around it, if that is the same call."""
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        _calls.unanswered(key)
        return
    outer = _calls.answered(key)
    if outer is not None and isinstance(outer.span, Span):
        outer.span.output(result)


def _holds_recorded(model: Any) -> bool:
    """Whether the model holds one of LangChain's, and LangChain's calls are recorded here."""
    # Neither is imported: a program without LangChain has no such model.
    models = sys.modules.get("langchain_core.language_models.base")
    ours = sys.modules.get("ironspan.langchain._everywhere")
    if models is None or ours is None:
        return False
    held = _calls.holds(model, models.BaseLanguageModel)
    return held is not None and ours.is_recorded(held)
