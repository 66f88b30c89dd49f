"""Retrieved documents as id, score, content and metadata (GenAI semantic conventions, retrieval documents)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["document_of"]

#: Where retrievers and rerankers leave a score, the one that decided the order first. Distances are no scores: they run
#: the other way.
_SCORES = ("relevance_score", "rerank_score", "score", "_score", "similarity_score", "similarity")
_IDS = ("id", "_id", "doc_id", "document_id")


def document_of(document: Any) -> Any:
    """One document of a retriever's answer; what is no document stays as it is."""
    score = None
    if isinstance(document, tuple) and len(document) == 2:
        # "With score" searches return pairs.
        document, score = document
    content = getattr(document, "page_content", None)
    if content is None:
        return document
    found: dict[str, Any] = {"content": content}
    metadata = getattr(document, "metadata", None)
    if not isinstance(metadata, Mapping):
        metadata = {}
    if score is None:
        score = next((metadata[key] for key in _SCORES if _is_number(metadata.get(key))), None)
    identity = getattr(document, "id", None) or next((metadata[key] for key in _IDS if metadata.get(key)), None)
    if identity is not None:
        found["id"] = str(identity)
    if score is not None:
        found["score"] = float(score)
    if metadata:
        found["metadata"] = metadata
    return found


def _is_number(value: Any) -> bool:
    # numpy's floats answer to `__float__` and are no subclass of float in single precision.
    return not isinstance(value, bool | str) and hasattr(value, "__float__")
