"""Many LangChain requests at once, each with its number in all that it says, and the tree that each has to leave.

Whatever tracer recorded them: a span is known by words in its name, and the request that it belongs to by the numbers
that stand in its name and its attributes. Used by the fault scenarios and by benches/.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["TREE", "run", "wrong"]

#: Each step of a request, by a word in its name, and the step above it.
TREE: dict[str, str | None] = {
    "request": None,
    "first": "request",
    "gpt-4o": "first",
    "second": "request",
    "echo": "second",
}
#: Tracers that go by the class where others go by the run's name.
_ALIASES = {"FixedChatModel": "gpt-4o"}
_NUMBER = re.compile(r"#(\d+)#")


def run(
    handler: Any, count: int, *, threads: int = 0, own: Callable[[str], AbstractContextManager[Any]] | None = None
) -> None:
    """Runs `count` requests at once through one handler: in one event loop, and some of them in threads.

    Args:
        handler: LangChain callback handler.
        count: Requests.
        threads: How many of them are made by threads, in synchronous code.
        own: Opens a span of the user's, if given: one around each step of a request.
    """
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import tool

    from tests.support.models import FixedChatModel

    model = FixedChatModel()

    @tool
    async def echo(text: str) -> str:
        """Gives back what it is given."""
        await asyncio.sleep(0)
        return text

    @tool("echo")
    def echo_sync(text: str) -> str:
        """Gives back what it is given."""
        return text

    def settings(step: str, number: int) -> Any:
        return {"run_name": f"{step} #{number}#"}

    async def first(number: int) -> None:
        await asyncio.sleep(0)
        await model.ainvoke(f"question #{number}#", {"run_name": f"gpt-4o #{number}#"})

    async def second(number: int) -> None:
        await asyncio.gather(asyncio.sleep(0), echo.ainvoke({"text": f"#{number}#"}))

    async def request(number: int) -> None:
        await asyncio.gather(
            steps["first"].ainvoke(number, settings("first", number)),
            steps["second"].ainvoke(number, settings("second", number)),
        )

    def first_sync(number: int) -> None:
        model.invoke(f"question #{number}#", {"run_name": f"gpt-4o #{number}#"})

    def second_sync(number: int) -> None:
        echo_sync.invoke({"text": f"#{number}#"})

    def request_sync(number: int) -> None:
        steps["first"].invoke(number, settings("first", number))
        steps["second"].invoke(number, settings("second", number))

    def within(step: Callable[[int], None], name: str) -> Callable[[int], None]:
        def body(number: int) -> None:
            if own is None:
                return step(number)
            with own(f"own {name} #{number}#"):
                return step(number)

        return body

    def within_async(step: Callable[[int], Any], name: str) -> Callable[[int], Any]:
        async def body(number: int) -> None:
            if own is None:
                return await step(number)
            with own(f"own {name} #{number}#"):
                return await step(number)

        return body

    pairs = {"first": (first_sync, first), "second": (second_sync, second), "request": (request_sync, request)}
    steps = {
        name: RunnableLambda(within(plain, name), afunc=within_async(asynchronous, name))
        for name, (plain, asynchronous) in pairs.items()
    }

    def outer(number: int) -> Any:
        return {"callbacks": [handler], **settings("request", number)}

    async def together() -> None:
        await asyncio.gather(*(steps["request"].ainvoke(n, outer(n)) for n in range(threads, count)))

    with ThreadPoolExecutor(16) as pool:
        done = [pool.submit(steps["request"].invoke, n, outer(n)) for n in range(threads)]
        asyncio.run(together())
        for job in done:
            job.result()


def wrong(spans: Iterable[Mapping[str, Any]], count: int, *, own: bool = False) -> list[str]:
    """The requests whose tree is not the expected one, each with what is wrong with it.

    Args:
        spans: Of all requests: `name`, `trace_id`, `span_id`, `parent_id` (empty or None for a root), `attributes`.
        count: Requests that were made.
        own: Whether spans of the user's stand around the steps.
    """
    everything = {span["span_id"]: span for span in spans}
    found: dict[int, list[Mapping[str, Any]]] = {number: [] for number in range(count)}
    trouble: dict[int, str] = {}
    for span in everything.values():
        text = span["name"] + json.dumps(span["attributes"], default=str)
        numbers = {int(number) for number in _NUMBER.findall(text)}
        for number in numbers:
            found.setdefault(number, []).append(span)
        if len(numbers) > 1:
            trouble.update((number, f"{span['name']} is of {sorted(numbers)}") for number in numbers)
    expected = sorted(_expected(own))
    for number, mine in found.items():
        own_ids = {span["span_id"] for span in mine}
        edges = sorted((_step(span), _above(span, everything, own_ids)) for span in mine)
        traces = {span["trace_id"] for span in mine}
        if number not in trouble and (edges != expected or len(traces) != 1):
            trouble[number] = f"in {len(traces)} traces: {edges}"
    return [f"request {number}: {trouble[number]}" for number in sorted(trouble)]


def _expected(own: bool) -> list[tuple[str, str]]:
    if not own:
        return [(step, above or "") for step, above in TREE.items()]
    edges = []
    for step, above in TREE.items():
        edges.append((step, f"own {above}" if above else ""))
        if step in TREE.values():
            edges.append((f"own {step}", step))
    return edges


def _above(span: Mapping[str, Any], everything: Mapping[str, Mapping[str, Any]], own_ids: set[str]) -> str:
    parent_id = span["parent_id"]
    if not parent_id:
        return ""
    if parent_id not in everything:
        return "a span that did not arrive"
    return _step(everything[parent_id]) if parent_id in own_ids else "another request's span"


def _step(span: Mapping[str, Any]) -> str:
    name = span["name"]
    own = "own " if name.startswith("own ") else ""
    words = [_ALIASES.get(word, word) for word in re.split(r"[^\w-]+", name)]
    return own + next((step for step in TREE if step in words), name)
