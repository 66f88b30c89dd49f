"""L, first part: the callbacks themselves, called with everything that a framework should not bring."""

from __future__ import annotations

import contextvars
import gc
import importlib
import inspect
import json
import logging
import random
import statistics
import time
import traceback
import uuid
from collections import OrderedDict
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Run, ms, scenario
from tests.faults.scenarios import parts
from tests.faults.scenarios.hostile_values import fields_missing, make_all

__all__: list[str] = []

KEYWORDS = ("run_id", "parent_run_id", "tags", "metadata", "name", "inputs", "response", "chunk", "invocation_params")
#: Sequences after which what was recorded is looked at and let go.
CHUNK = 500


class Garbage:
    """Arguments that make no sense, and now and then one that does."""

    def __init__(self, seed: int) -> None:
        from langchain_core.messages import AIMessage
        from langchain_core.outputs import ChatGeneration, LLMResult

        self.random = random.Random(seed)
        good = [[[AIMessage("x")]], LLMResult(generations=[[ChatGeneration(message=AIMessage("x"))]]), {"name": "x"}]
        good += [["tag", "seq:step:1"], {"thread_id": "t", "langgraph_node": "n"}, "x", ["x"], {"model": "m"}]
        bad = [None, 0, "", "x", [], {}, [None], {"id": 3}, b"\xff", float("nan"), [[[]]], ValueError("x"), ("a",)]
        self.values: list[Any] = [*good, *good, *good, *bad, *make_all(), *fields_missing()]

    def value(self) -> Any:
        return self.random.choice(self.values)

    def id(self, ids: list[Any], name: str) -> Any:
        """Of this sequence mostly, nonsense at times; that of a parent may be unknown, too."""
        draw = self.random.random()
        if draw < 0.1 and name.startswith("parent"):
            return uuid.uuid4()
        return self.random.choice(ids) if draw < 0.9 else self.value()

    def keywords(self, names: tuple[str, ...], ids: list[Any]) -> dict[str, Any]:
        chosen = [name for name in names if self.random.random() < (0.95 if name in ("run_id", "id_") else 0.5)]
        return {name: self.id(ids, name) if name.endswith(("id", "id_")) else self.value() for name in chosen}

    def bound(self) -> inspect.BoundArguments:
        """Arguments of a call: what the dispatcher brings is always of this class."""
        names = self.random.sample(("messages", "ev", "query", "tools", "prompt"), 2)
        return inspect.BoundArguments(inspect.Signature(), OrderedDict((name, self.value()) for name in names))

    def positional(self) -> list[Any]:
        """Mostly as many as the callbacks take."""
        return [self.value() for _ in range(self.random.choice((0, 1, 1, 2, 2, 2, 3)))]


def sequence_of_langchain(garbage: Garbage, ids: list[Any], handler: Any, names: list[str]) -> None:
    from langchain_core.callbacks.manager import handle_event

    for _ in range(garbage.random.randrange(2, 9)):
        # As many starts as ends: without one, nothing else has anything to do.
        starts = [name for name in names if name.endswith("_start")]
        name = garbage.random.choice(starts if garbage.random.random() < 0.4 else names)
        keywords = garbage.keywords(KEYWORDS, ids)
        values = garbage.positional()
        if garbage.random.random() < 0.3:
            # As the framework calls it: with `raise_error` it passes on whatever the handler raises.
            handle_event([handler], name, None, *values, **keywords)
        else:
            getattr(handler, name)(*values, **keywords)


def sequence_of_llamaindex(garbage: Garbage, ids: list[Any], spans: Any, events: Any) -> None:
    texts = [f"Engine.query-{each}" for each in ids]
    signals = (spans.span_enter, spans.span_exit, spans.span_drop)
    for _ in range(garbage.random.randrange(2, 9)):
        if garbage.random.random() < 0.2:
            events.handle(garbage.value())
            continue
        keywords = garbage.keywords(("id_", "instance", "parent_id", "result", "err", "tags"), texts)
        if garbage.random.random() < 0.9:
            keywords["bound_args"] = garbage.bound()
        garbage.random.choice(signals)(**keywords)


def where(error: BaseException) -> str:
    """The functions that it came through."""
    return " < ".join(frame.name for frame in reversed(traceback.extract_tb(error.__traceback__)))


def senseless(app: App, endpoint: str, sequences: int) -> None:
    import ironspan
    from ironspan._runs import RUNS
    from ironspan.langchain import CallbackHandler
    from ironspan.llamaindex._events import Events
    from ironspan.llamaindex._spans import Spans
    from ironspan.testing import MemoryExporter
    from langchain_core.callbacks import BaseCallbackHandler

    memory = MemoryExporter()
    ironspan.init("faults", exporters=[memory])
    logging.getLogger("ironspan").propagate = False
    garbage = Garbage(1)
    handler = CallbackHandler()
    handler.raise_error = True
    names = sorted(name for name in dir(BaseCallbackHandler) if name.startswith("on_"))
    ends = [name for name in names if name.endswith(("_end", "_error"))]
    spans, events = Spans(), Events()
    raised: list[str] = []
    strays = marked = 0

    def sequence(number: int) -> None:
        ids = [uuid.uuid4() for _ in range(6)]
        try:
            if number % 4:
                sequence_of_langchain(garbage, ids, handler, names)
            else:
                sequence_of_llamaindex(garbage, ids, spans, events)
        except BaseException as error:
            raised.append(f"{type(error).__name__} from {where(error)} in sequence {number}")
        stray = uuid.uuid4()
        contextvars.Context().run(
            handler.on_chain_start, {"name": "stray"}, {}, run_id=stray, parent_run_id=uuid.uuid4()
        )
        handler.on_chain_end({}, run_id=stray)
        finish(ids)

    def finish(ids: list[Any]) -> None:
        """Ends whatever is open under these ids, in any way."""
        for each in ids:
            getattr(handler, garbage.random.choice(ends))(None, run_id=each)
            spans.span_drop(id_=f"Engine.query-{each}" if type(each) is uuid.UUID else each, bound_args=None)

    for number in range(sequences):
        contextvars.Context().run(sequence, number)
        if number % CHUNK == CHUNK - 1 or number == sequences - 1:
            found = [span for span in memory.spans if span.name == "stray"]
            strays += len(found)
            marked += sum(span.parent_id is None and span.attributes.get("ironspan.orphan") is True for span in found)
            memory.clear()
            # Ids that are no ids may have been open all the while.
            finish(garbage.values)
    gc.collect()
    app.emit(
        "over",
        recorded=ironspan.stats()["created"],
        raised=raised[:3],
        count=len(raised),
        strays=strays,
        marked=marked,
        open=len(RUNS),
    )


@scenario("L01", "callbacks with missing, garbage, repeated and reordered arguments, unknown ids, raise_error=True")
def senseless_callbacks(run: Run) -> None:
    run.need("langchain_core", "llama_index.core")
    sequences = run.pick(400, 100_000)
    result = run.app(senseless, endpoint="", sequences=sequences, timeout=1_500, internal=None)
    over = result.one("over")
    shown = f"{over['count']} in {sequences} sequences {over['raised'] or ''}"
    run.check("exceptions", shown, "0", over["count"] == 0)
    run.check("left open", over["open"], "0", over["open"] == 0)
    shown = f"{over['marked']} of {over['strays']}"
    run.check("orphans that are roots with a mark", shown, "all", over["marked"] == over["strays"] == sequences)
    most = over["recorded"] - over["strays"]
    run.check("spans of garbage", most, f"at least {sequences // 2}", most >= sequences // 2)
    run.check("losses counted", result.stats["internal_errors"], "at least 1", result.stats["internal_errors"] > 0)


def tokens(app: App, endpoint: str, count: int) -> None:
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk

    handler, run_id, block = CallbackHandler(), uuid.uuid4(), 1_000
    handler.on_chat_model_start({"name": "m"}, [[]], run_id=run_id)
    taken: list[float] = []

    def pass_on() -> None:
        chunks = [ChatGenerationChunk(message=AIMessageChunk("word ")) for _ in range(block)]
        began = time.thread_time_ns()
        for chunk in chunks:
            handler.on_llm_new_token("word ", run_id=run_id, chunk=chunk)
        taken.append((time.thread_time_ns() - began) / block)

    for _ in range(20):
        pass_on()
    memory = probe.Memory()
    for _ in range(count // block):
        pass_on()
    growth = memory.growth()
    handler.on_llm_error(GeneratorExit(), run_id=run_id)
    ironspan.flush(5.0)
    app.emit("over", growth=growth, per_token=statistics.median(taken))


@scenario("L06", "a million streamed tokens", lane="timed")
def many_tokens(run: Run) -> None:
    run.need("langchain_core")
    receiver = run.receiver("ok", detail="spans")
    count = run.pick(100_000, 1_000_000)
    found = run.app(tokens, endpoint=receiver.endpoint, count=count, timeout=300).one("over")
    growth, each = found["growth"], found["per_token"]
    run.check("memory growth", f"{growth / 1e6:.1f} MB for {count} tokens", "at most 5 MB", growth <= 5e6)
    run.check("CPU for a token", f"{each / 1e3:.2f} us", "at most 3 us", each <= 3_000)
    counted = [span["attributes"].get("ironspan.stream.chunks") for span in receiver.spans()]
    run.check("chunks counted", counted, f"{count + 20_000}", counted == [count + 20_000])


def large_messages(app: App, endpoint: str, turns: int) -> None:
    import ironspan
    from ironspan.langchain import CallbackHandler
    from ironspan.testing import MemoryExporter
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    memory = MemoryExporter()
    ironspan.init("faults", exporters=[memory])
    handler, watch = CallbackHandler(), probe.Stopwatch()

    def turn(messages: list[Any]) -> int:
        run_id = uuid.uuid4()
        answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("x" * 100))]])
        took = watch.time(lambda: handler.on_chat_model_start({"name": "m"}, [messages], run_id=run_id))
        took = max(took, watch.time(lambda: handler.on_llm_end(answer, run_id=run_id)))
        ironspan.flush(10.0)
        return took

    def sizes() -> list[int]:
        found = [sum(len(str(value)) for value in span.attributes.values()) for span in memory.spans]
        memory.clear()
        return found

    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 1_250_000}}
    for count in (1, 3):
        slowest = max(
            turn([HumanMessage([{"type": "text", "text": "what is this?"}, *[picture] * count])]) for _ in range(5)
        )
        kept = sizes()
        app.emit("pictures", count=count, slowest=slowest, kept=max(kept), spans=len(kept))
    history: list[Any] = []
    taken, kept = [], []
    for number in range(turns):
        history += [HumanMessage(f"{number} {parts.BIG}"), AIMessage(f"{number} {parts.BIG}")]
        del history[:-200]
        taken.append(turn(history))
        if number % 50 == 49:
            kept += sizes()
    kept += sizes()
    full, late = taken[100:150] or taken, taken[-50:]
    app.emit(
        "history",
        slowest=max(taken),
        full=statistics.median(full),
        late=statistics.median(late),
        kept=max(kept),
        spans=len(kept),
    )


@scenario("L07", "pictures of 10 MB in messages, a history of 200 messages for 1,000 turns", lane="timed")
def large_payloads(run: Run) -> None:
    run.need("langchain_core")
    turns, limit = run.pick(250, 1_000), 16 << 20
    result = run.app(large_messages, endpoint="", turns=turns, timeout=600)
    for found in result.all("pictures"):
        what = f"{found['count']} x 10 MB"
        run.check(f"{what}: slowest callback", ms(found["slowest"] / 1e9), "at most 50 ms", found["slowest"] <= 50e6)
        run.check(f"{what}: kept", f"{found['kept'] / 1e6:.1f} MB", "at most 16 MiB", 1_000 < found["kept"] <= limit)
        run.check(f"{what}: spans", found["spans"], "5", found["spans"] == 5)
    found = result.one("history")
    run.check("history: slowest callback", ms(found["slowest"] / 1e9), "at most 50 ms", found["slowest"] <= 50e6)
    shown = f"{found['late'] / 1e6:.2f} ms, {found['full'] / 1e6:.2f} ms when the history was first full"
    run.check("history: a late turn", shown, "at most twice", found["late"] <= 2 * found["full"])
    run.check("history: kept", f"{found['kept'] / 1e6:.2f} MB", "at most 1 MB", 200_000 < found["kept"] <= 1e6)
    run.check("history: spans", found["spans"], f"{turns}", found["spans"] == turns)


class Canary:
    """What a payload in LangChain's serialized form would build, if anybody built it."""

    built = 0

    def __init__(self, **_: Any) -> None:
        type(self).built += 1


def serialized() -> dict[str, Any]:
    """An object in LangChain's serialized form, with a secret to be looked up in it."""
    return {
        "lc": 1,
        "type": "constructor",
        "id": ["tests", "faults", "scenarios", "callbacks", "Canary"],
        "kwargs": {
            "key": {"lc": 1, "type": "secret", "id": ["FAULTS_CANARY"]},
            "deep": [{"lc": 1, "type": "not_implemented"}],
        },
    }


def look_alike(app: App, endpoint: str, rounds: int) -> None:
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import tool

    from tests.support.models import FixedChatModel

    called: list[str] = []

    def counted(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            raise AssertionError(name)

        return call

    module = importlib.import_module("langchain_core.load.load")
    for name in ("load", "loads"):
        setattr(module, name, counted(name))
    module.Reviver.__call__ = counted("Reviver")

    @tool
    def echo(value: dict[str, Any]) -> dict[str, Any]:
        """Gives back what it is given."""
        return value

    model = FixedChatModel(reply=AIMessage("one two three", additional_kwargs=serialized()))

    def body(value: Any) -> Any:
        model.invoke([HumanMessage("?", additional_kwargs=serialized())])
        return echo.invoke({"value": value})

    settings: Any = {"callbacks": [CallbackHandler()], "metadata": {"look-alike": serialized()}}
    for _ in range(rounds):
        if RunnableLambda(body, name="outer").invoke(serialized(), settings) != serialized():
            raise AssertionError("the program's result changed")
    ironspan.flush(10.0)
    app.emit("over", called=called, built=Canary.built)


@scenario("L09", "metadata and payloads that look like LangChain's serialized objects stay data")
def stays_data(run: Run) -> None:
    run.need("langchain_core")
    receiver = run.receiver("ok", detail="spans")
    rounds = run.pick(20, 1_000)
    secret = {"FAULTS_CANARY": "a secret that nobody may look up"}
    over = run.app(look_alike, endpoint=receiver.endpoint, rounds=rounds, environment=secret, timeout=300).one("over")
    run.check("objects built", over["built"], "0", over["built"] == 0)
    run.check("calls of the framework's load", over["called"], "0", not over["called"])
    spans = receiver.spans()
    places = {
        "look-alike": 0,
        "input.value": 0,
        "output.value": 0,
        "gen_ai.tool.call.arguments": 0,
        "gen_ai.tool.call.result": 0,
    }
    for span in spans:
        for key, value in span["attributes"].items():
            place = next((place for place in places if key.endswith(place)), None)
            if place is not None and carried(value):
                places[place] += 1
    run.check("places where it arrived unchanged", places, f"{rounds} each", set(places.values()) == {rounds})
    leaked = sum(secret["FAULTS_CANARY"] in json.dumps(span) for span in spans)
    run.check("spans with the secret", leaked, "0", leaked == 0)


def carried(value: Any) -> bool:
    """Whether the serialized form is in an attribute as it was."""
    found = json.loads(value) if isinstance(value, str) and value.startswith("{") else value
    return found == serialized() or (isinstance(found, dict) and found.get("value") == serialized())
