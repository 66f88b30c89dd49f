"""L, fourth part: payloads and programs that are unfriendly to a tracer, which they must not notice."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.scenarios import hostile_values, programs

__all__: list[str] = []


class Failure(Exception):
    """Holds what must not be held on to."""

    def __init__(self, held: Any) -> None:
        super().__init__("failed")
        self.held = held


def fail_deep(held: Any, depth: int) -> None:
    weight = bytearray(100_000)
    if depth:
        fail_deep(held, depth - 1)
    raise Failure((held, len(weight)))


def failure(call: Callable[[Any], object]) -> tuple[Any, Any]:
    """Weak references to the exception that a call of a program raises, and to the live socket in it."""
    held = socket.socket()
    references: list[Any] = [None, weakref.ref(held)]
    try:
        call(held)
    except Failure as error:
        references[0] = weakref.ref(error)
    return references[0], references[1]


def pinned(app: App, endpoint: str, rounds: int) -> None:
    """How many exceptions, and sockets in them, outlive the run that raised them."""
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler
    from langchain_core.tools import tool
    from langgraph.graph import START, StateGraph
    from llama_index.core.tools import FunctionTool

    ironspan.instrument("llamaindex")
    handler = CallbackHandler()
    settings: Any = {"callbacks": [handler]}

    def told(held: Any) -> None:
        run_id = uuid.uuid4()
        handler.on_tool_start({"name": "t"}, "x", run_id=run_id)
        try:
            fail_deep(held, 20)
        except Failure as error:
            handler.on_tool_error(error, run_id=run_id)
            raise

    def by_tool(held: Any) -> None:
        @tool
        def fail() -> None:
            """Fail."""
            fail_deep(held, 20)

        fail.invoke({}, settings)

    def by_node(held: Any) -> None:
        graph = StateGraph(dict)
        graph.add_node("node", lambda state: fail_deep(held, 20))
        graph.add_edge(START, "node")
        graph.compile().invoke({}, settings)

    def by_function(held: Any) -> None:
        def fail() -> None:
            """Fail."""
            fail_deep(held, 20)

        FunctionTool.from_defaults(fail).call()

    calls = {"callback": told, "tool": by_tool, "node": by_node, "LlamaIndex": by_function}
    for name, call in calls.items():
        gc.collect()
        gc.disable()
        alive = 0
        for _ in range(rounds):
            references = failure(call)
            if call is not told:
                # The frameworks' own frames refer to each other; a callback alone needs no collector.
                gc.collect()
            alive += sum(reference is None or reference() is not None for reference in references)
        gc.enable()
        app.emit("alive", by=name, alive=alive)


@scenario("L11", "exceptions with large tracebacks and live sockets are let go after the callback")
def nothing_pinned(run: Run) -> None:
    run.need(*{module for modules in programs.FRAMEWORKS.values() for module in modules})
    # Nothing is delivered: what waits to be sent must not hold on either.
    receiver = run.receiver("refuse")
    rounds = run.pick(5, 200)
    for found in run.app(pinned, endpoint=receiver.endpoint, rounds=rounds, timeout=300).all("alive"):
        run.check(f"alive after {rounds} failures, {found['by']}", found["alive"], "0", found["alive"] == 0)


def strict(app: App, endpoint: str, rounds: int) -> None:
    """Every way of not coming to an end, and a crowd, in asyncio's debug mode, with warnings as errors."""
    import warnings

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # How long a callback of the loop takes is a question of the machine.
            if not record.getMessage().startswith("Executing "):
                lines.append(record.getMessage())

    # The frameworks warn while they are imported, which is theirs to do.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ways = {name: programs.ways(name) for name in programs.FRAMEWORKS}
        app.init(endpoint)
        from ironspan.langchain import CallbackHandler

        from tests.support import crowd

    for name in ("asyncio", "ironspan"):
        logging.getLogger(name).addHandler(Keep(logging.WARNING))
    unraisable: list[str] = []
    sys.unraisablehook = lambda event: unraisable.append(repr(event.exc_value))
    seen: list[str] = []
    raised: list[str] = []

    async def everything() -> None:
        for _ in range(rounds):
            for name, found in ways.items():
                for way in found:
                    try:
                        await way.work()
                    except BaseException as error:
                        raised.append(f"{name} {way.ending} {way.name}: {error!r}")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(everything(), debug=True)
        crowd.run(CallbackHandler(), 50, threads=10)
        gc.collect()
    seen = [f"{each.category.__name__}: {each.message}" for each in caught]
    app.emit("over", warnings=seen, lines=lines, raised=raised, unraisable=unraisable)


@scenario("L12", "asyncio's debug mode, development mode, every warning")
def no_warnings(run: Run) -> None:
    run.need(*{module for modules in programs.FRAMEWORKS.values() for module in modules})
    receiver = run.receiver("ok", detail="count")
    rounds = run.pick(1, 20)
    over = run.app(strict, endpoint=receiver.endpoint, rounds=rounds, flags=("-X", "dev"), timeout=600).one("over")
    for what in ("warnings", "lines", "raised", "unraisable"):
        run.check(what, f"{len(over[what])} {sorted(set(over[what]))[:2] or ''}", "0", not over[what])


# Hostile payloads

#: How often code of a payload may run because it is traced: an attribute or two tell what an output is.
MOST_TOUCHES = 10


def outcome(call: Callable[[], Any], payload: Any) -> str:
    """What a program gives or raises, told without touching the payload."""
    try:
        result = call()
    except BaseException as error:
        return f"raised {type(error).__name__}"
    return "gave the payload" if result is payload else f"gave {type(result).__name__}"


def places(settings: Any) -> dict[str, Callable[[Any], Any]]:
    """Programs that carry a payload through every place where a tracer looks."""
    from langchain_core.documents import Document
    from langchain_core.messages import HumanMessage
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import tool
    from llama_index.core.tools import FunctionTool

    from tests.support.llama import ScriptedModel
    from tests.support.models import FixedChatModel

    @tool
    def echo(value: Any) -> Any:
        """Gives back what it is given."""
        return value

    class Shelf(BaseRetriever):
        held: Any = None

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document.model_construct(page_content="x", metadata={"payload": self.held}, id=None)]

    def metadata(payload: Any) -> Any:
        merged = {**settings, "metadata": {"payload": payload}}
        return RunnableLambda(lambda _: payload).invoke(1, merged)

    def message(payload: Any) -> Any:
        asked = HumanMessage.model_construct(content="?", additional_kwargs={"payload": payload})
        return FixedChatModel().invoke([asked], settings)

    def answer(payload: Any) -> Any:
        model = FixedChatModel()
        model.reply = model.reply.model_copy(update={"response_metadata": {"payload": payload}})
        return model.invoke("?", settings)

    def bare(payload: Any) -> Any:
        model = FixedChatModel()
        model.reply = type(model.reply).model_construct(content="x", usage_metadata=payload)
        return model.invoke("?", settings)

    def event(payload: Any) -> Any:
        from langchain_core.callbacks import dispatch_custom_event

        def step(_: Any) -> Any:
            dispatch_custom_event("progress", payload)
            return payload

        return RunnableLambda(step).invoke(1, settings)

    class Odd(ScriptedModel):
        """A model with an attribute that is the payload, where its name should be."""

        model: Any = None

    return {
        "input and output": lambda payload: RunnableLambda(lambda value: value).invoke(payload, settings),
        "tool": lambda payload: echo.invoke({"value": payload}, settings),
        "metadata": metadata,
        "message": message,
        "answer": answer,
        "usage": bare,
        "custom event": event,
        "document": lambda payload: Shelf.model_construct(held=payload).invoke("?", settings)[0].metadata["payload"],
        "LlamaIndex tool": lambda payload: FunctionTool.from_defaults(lambda value: value, name="t").call(payload),
        "LlamaIndex model": lambda payload: Odd.model_construct(model=payload, script=["x"], temperature=payload).chat(
            []
        ),
    }


def unharmed(app: App, endpoint: str, rounds: int) -> None:
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler
    from ironspan.llamaindex import uninstrument

    logging.getLogger("ironspan").propagate = False
    logging.getLogger("langchain_core").setLevel(logging.CRITICAL)
    plain, traced = places({}), places({"callbacks": [CallbackHandler()]})
    tried = 0
    for _ in range(rounds):
        for kind, payload in hostile_values.make().items():
            for place in plain:
                start = hostile_values.touched()
                expected = outcome(lambda: plain[place](payload), payload)  # noqa: B023
                own = hostile_values.touched() - start
                ironspan.instrument("llamaindex")
                start, created = hostile_values.touched(), ironspan.stats()
                found = outcome(lambda: traced[place](payload), payload)  # noqa: B023
                more = hostile_values.touched() - start - own
                after = ironspan.stats()
                uninstrument()
                tried += 1
                # A program that breaks by itself may break before its run begins, or leave the run to its death.
                told = (
                    expected.startswith("raised")
                    or after["created"] > created["created"]
                    or after["internal_errors"] > created["internal_errors"]
                )
                touchy = more > MOST_TOUCHES and kind not in ("recurses", "in a dict")
                if found != expected or not told or touchy:
                    app.emit("other", kind=kind, place=place, expected=expected, found=found, touches=more, told=told)
    gc.collect()
    ironspan.flush(10.0)
    app.emit("over", tried=tried, open=ironspan.stats()["open_runs"])


@scenario("L16", "payloads that raise, recurse, lie, never end or are huge: the program does not notice")
def harmless(run: Run) -> None:
    run.need(*{module for modules in programs.FRAMEWORKS.values() for module in modules})
    receiver = run.receiver("ok", detail="count")
    rounds = run.pick(1, 20)
    result = run.app(unharmed, endpoint=receiver.endpoint, rounds=rounds, timeout=900, internal=None)
    over, other = result.one("over"), result.all("other")
    shown = f"{len(other)} of {over['tried']} " + " | ".join(str(sorted(found.items())[2:-1]) for found in other[:3])
    run.check("programs that noticed", shown, "0", not other and over["tried"] >= 100 * rounds)
    run.check("left open", over["open"], "0", over["open"] == 0)
