"""What the demo's agents can do: search the notes, search the web (which times out twice), run Python.

Nothing leaves the machine. The embedding hashes words into 256 places, so that the vector search is a real one; the
web is three prepared results; Python runs in a process of its own that sees nothing but the standard library.
"""

from __future__ import annotations

import builtins
import functools
import math
import re
import subprocess
import sys
import zlib
from typing import Any

import ironspan
from ironspan.demo._model import Pace, price, tokens
from ironspan.demo._notes import NOTES

__all__ = ["Web", "embed", "execute", "nearest", "run_python", "vector", "vector_search", "web_search", "words"]

EMBEDDING_MODEL = "text-embedding-3-small"
_PLACES = 256
_IGNORED = frozenset(
    "a an and are as at be by for from has in is it its not of on or that the them then to with".split()  # noqa: SIM905
)


def words(text: str) -> list[str]:
    """Lower-case words that carry meaning."""
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in _IGNORED]


def vector(text: str) -> list[float]:
    """The text's words in 256 places, of length one."""
    counts = [0.0] * _PLACES
    for word in words(text):
        counts[zlib.crc32(word.encode()) % _PLACES] += 1.0
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]


@functools.cache
def _index() -> list[tuple[str, str, list[float]]]:
    return [(name, text, vector(f"{name} {text}")) for name, text in NOTES]


def embed(text: str, pace: Pace) -> list[float]:
    """The text as a vector."""
    with ironspan.embedding(
        EMBEDDING_MODEL, provider="openai", name="embed_question", params={"dimensions": _PLACES}, input=text
    ) as span:
        pace.wait(0.12)
        span.usage(input=tokens(text)).cost(total=price(EMBEDDING_MODEL, tokens(text)) or 0.0)
        return vector(text)


def nearest(asked: list[float], top_k: int) -> list[dict[str, Any]]:
    """The notes whose directions are nearest to the vector's, with their scores."""
    scored = [
        (sum(left * right for left, right in zip(asked, other, strict=True)), name, text)
        for name, text, other in _index()
    ]
    # The name breaks ties, so that the order is the same everywhere.
    best = sorted(scored, key=lambda found: (-found[0], found[1]))[:top_k]
    return [{"id": name, "content": text, "score": round(score, 4)} for score, name, text in best]


def vector_search(question: str, asked: list[float], pace: Pace, *, top_k: int = 4) -> list[dict[str, Any]]:
    """The notes nearest to the vector."""
    with ironspan.retrieval(question, source="notes", top_k=top_k, name="vector_search") as span:
        pace.wait(0.24)
        documents = nearest(asked, top_k)
        span.documents(documents)
    return documents


class Web:
    """A search engine that does not answer the first times it is asked.

    Args:
        failures: How often it times out.
    """

    def __init__(self, failures: int = 2) -> None:
        self._failures = failures

    def search(self, pace: Pace) -> list[dict[str, str]]:
        """Three results.

        Raises:
            TimeoutError: The engine did not answer.
        """
        if self._failures > 0:
            self._failures -= 1
            pace.wait(0.8)
            raise TimeoutError("web_search timed out after 0.8 s")
        pace.wait(0.73)
        return [
            {
                "title": "When a file is enough",
                "url": "https://example.com/when-a-file-is-enough",
                "snippet": "One machine, one team: SQLite needs no server and no operator.",
            },
            {
                "title": "Many writers, one database",
                "url": "https://example.com/many-writers",
                "snippet": "Postgres takes many writers at once; SQLite makes them wait for one another.",
            },
            {
                "title": "Moving traces later",
                "url": "https://example.com/moving-traces",
                "snippet": "Traces that were stored locally can be sent to a collector by OTLP later.",
            },
        ]


def web_search(web: Web, query: str, pace: Pace, *, attempt: int) -> list[dict[str, str]]:
    """One attempt, as a span."""
    with ironspan.tool(
        "web_search",
        arguments={"query": query, "limit": 3},
        description="Searches the web and returns titles and snippets.",
        attributes={"attempt": attempt},
    ) as span:
        found = web.search(pace)
        span.output(found)
    return found


def run_python(code: str, pace: Pace, *, seconds: float, call_id: str | None = None) -> str:
    """Runs a program and returns what it prints; raises as `execute`."""
    with ironspan.tool(
        "run_python",
        arguments={"code": code},
        call_id=call_id,
        description="Runs a Python program in a sandbox with the standard library and returns its output.",
    ) as span:
        pace.wait(seconds)
        printed = execute(code)
        span.output(printed)
    return printed


def execute(code: str) -> str:
    """What a program prints that runs in a process of its own.

    Raises:
        Exception: What the program raised, by the class's name, with its message.
    """
    # -I and -S: no folder of the caller, no variables, no installed package. A script reports what it lacks.
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    if ran.returncode != 0:
        ironspan.current().event("stderr", level="error", text=ran.stderr.strip())
        raise _failure(ran.stderr)
    return ran.stdout.strip()


def _failure(stderr: str) -> Exception:
    """The exception that ended a program, from the last line of its traceback."""
    last = stderr.strip().rpartition("\n")[2] or "the program failed without a word"
    kind, _, message = last.partition(": ")
    found = getattr(builtins, kind, None)
    if isinstance(found, type) and issubclass(found, Exception):
        return found(message)
    return RuntimeError(last)
