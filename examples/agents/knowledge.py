"""The team's notes, cut into passages and ranked by Okapi BM25."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

# Robertson and Zaragoza's usual values: how quickly repeated words stop to count, and how much length is held against
# a passage.
K1, B = 1.2, 0.75
STOP_WORDS = re.compile(
    r"\b(?:a|an|and|are|as|at|be|by|for|from|how|in|is|it|its|of|on|or|that|the|this|to|what|when|with)\b"
)


def words(text: str) -> list[str]:
    """Lower-case words that carry meaning, without the plural's s."""
    found = re.findall(r"[a-z0-9]+", STOP_WORDS.sub(" ", text.lower()))
    return [word.removesuffix("s") if len(word) > 3 else word for word in found]


def passages(folder: Path) -> list[Document]:
    """One passage per heading of every Markdown file in `folder`."""
    found = []
    for path in sorted(folder.glob("*.md")):
        title, *sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        subject = title.splitlines()[0].removeprefix("# ").strip()
        for number, section in enumerate(sections):
            heading, _, body = section.partition("\n")
            found.append(
                Document(
                    id=f"{path.stem}#{number}",
                    page_content=body.strip(),
                    metadata={"source": path.name, "subject": subject, "heading": heading.strip()},
                )
            )
    return found


class NotesRetriever(BaseRetriever):
    """Ranks passages for a question; each result carries its score."""

    documents: list[Document]
    top_k: int = 3

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._counts = [
            Counter(words(f"{document.metadata['subject']} {document.metadata['heading']} {document.page_content}"))
            for document in self.documents
        ]
        lengths = [sum(counts.values()) for counts in self._counts]
        self._lengths, self._mean_length = lengths, sum(lengths) / len(lengths)
        frequency = Counter(word for counts in self._counts for word in counts)
        total = len(self.documents)
        self._weight = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in frequency.items()}

    def score(self, question: str, number: int) -> float:
        """BM25 of passage `number` for `question`."""
        counts, length = self._counts[number], self._lengths[number]
        damping = K1 * (1 - B + B * length / self._mean_length)
        return sum(
            self._weight[word] * counts[word] * (K1 + 1) / (counts[word] + damping)
            for word in set(words(question))
            if word in counts
        )

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        scored = sorted(((self.score(query, number), number) for number in range(len(self.documents))), reverse=True)
        return [
            self.documents[number].model_copy(
                update={"metadata": {**self.documents[number].metadata, "score": round(score, 3)}}
            )
            for score, number in scored[: self.top_k]
            if score > 0
        ]
