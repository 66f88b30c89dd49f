"""What does tracing add to a request of LangChain, to a streamed token, and to a query of LlamaIndex?

CPU time of the calling thread with a tracer's handler, less that without any in the same round. The request has seven
runs: a chain of two branches (a retriever and a pass-through), prompt, model and parser. The bars: a quarter of the
cheapest peer and half a millisecond for the request, 2 us for a token, a fifth of the cheapest peer for the query.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from benches.framework_requests import chain
from benches.framework_subjects import langchain_handlers, llamaindex_handlers
from benches.measure import Row, caller_cpu, main, quartiles

__all__ = ["measure"]

TOKENS = 1_000


def measure(quick: bool) -> list[Row]:
    rounds = 30 if quick else 150
    handlers = langchain_handlers()
    rows = _added("added by tracing, LangChain request of 7 runs", _requests(handlers), rounds, 5, share=1 / 4)
    ours = rows[0]
    ours.bar, ours.passed = "at most 500 us", (ours.value or 0) <= 500
    tokens = _tokens(handlers["ironspan"])
    rows += _added("added by tracing, streamed token", tokens, max(8, rounds // 5), 1, share=None, per=TOKENS)
    last = rows[-1]
    last.bar, last.passed = "at most 2 us", (last.value or 0) <= 2
    return rows + _added("added by tracing, LlamaIndex query", _queries(), rounds, 5, share=1 / 5)


def _added(
    what: str, variants: dict[str, Callable[[int], None]], rounds: int, count: int, *, share: float | None, per: int = 1
) -> list[Row]:
    """A row for each tracer, ironspan first, and one that judges ironspan against the cheapest of the others."""
    samples = caller_cpu(variants, rounds=rounds, spans=count)
    floor = samples.pop("nothing")
    added = {
        name: [(value - base) / per / 1e3 for value, base in zip(values, floor, strict=True)]
        for name, values in samples.items()
    }
    rows = []
    for name, values in added.items():
        low, middle, high = quartiles(values)
        rows.append(
            Row(what, name, middle, "us", low, high, note=f"without: {statistics.median(floor) / per / 1e3:.3g} us")
        )
    peers = {row.subject: row.value or 0 for row in rows if row.subject != "ironspan"}
    if share is not None and peers:
        cheapest = min(peers, key=lambda name: peers[name])
        times = peers[cheapest] / max(rows[0].value or 0, 1e-9)
        rows.append(
            Row(what, f"{cheapest} / ironspan", times, "x", bar=f"at least {1 / share:g} x", passed=times * share >= 1)
        )
    return rows


def _requests(handlers: dict[str, Any]) -> dict[str, Callable[[int], None]]:
    names = ["ironspan", *(name for name in handlers if name != "ironspan"), "nothing"]
    return {name: chain(handlers.get(name)) for name in names}


def _tokens(handler: Any) -> dict[str, Callable[[int], None]]:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    class Talker(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "talker"

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            # Every model has to have it; this bench only streams.
            raise NotImplementedError

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
            for _ in range(TOKENS):
                chunk = ChatGenerationChunk(message=AIMessageChunk("word "))
                if run_manager:
                    run_manager.on_llm_new_token("word ", chunk=chunk)
                yield chunk

    class Empty(BaseCallbackHandler):
        """Listens and does nothing: what LangChain itself does for a handler is not the tracer's cost."""

    model = Talker()

    def with_handler(listener: Any) -> Callable[[int], None]:
        def streams(count: int) -> None:
            for _ in range(count):
                for _chunk in model.stream("?", config={"callbacks": [listener]}):
                    pass

        return streams

    return {"ironspan": with_handler(handler), "nothing": with_handler(Empty())}


def _queries() -> dict[str, Callable[[int], None]]:
    from llama_index.core.instrumentation import get_dispatcher

    from tests.support.llama import ScriptedModel, index

    dispatcher = get_dispatcher()
    engine = index().as_query_engine(llm=ScriptedModel())

    def with_handlers(spans: list[Any], events: list[Any]) -> Callable[[int], None]:
        def queries(count: int) -> None:
            dispatcher.span_handlers, dispatcher.event_handlers = spans, events
            for _ in range(count):
                engine.query("why is checkout slow?")

        return queries

    handlers = llamaindex_handlers()
    names = ["ironspan", *(name for name in handlers if name != "ironspan")]
    return {name: with_handlers(*handlers[name]) for name in names}


if __name__ == "__main__":
    main(measure)
