"""L, second part: runs that do not come to their end. Their spans end all the same, with what is true of them.

L13 and later stand in no table: 30,000 broken runs, the tree that each way of breaking off leaves, idle limit and cap.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from tests.faults import probe
from tests.faults.app import App
from tests.faults.harness import Process, Run, scenario
from tests.faults.receivers import Remote
from tests.faults.scenarios import programs

__all__: list[str] = []

ENDINGS = ("cancelled", "dropped", "failed")
#: Programs under way at once, and made before memory is watched.
_AT_ONCE, _WARM = 25, 40
_SHORT_IDLE_LIMIT = {"IRONSPAN_RUN_IDLE_SECONDS": "1"}


def opened() -> int:
    from ironspan._runs import RUNS

    return len(RUNS)


def open_counts(ironspan: Any) -> dict[str, int]:
    """What is left open, by every way of asking."""
    from ironspan.langchain import CallbackHandler

    stats = ironspan.stats()
    return {
        "table": opened(),
        "handler": CallbackHandler().open_runs,
        "runs": stats["open_runs"],
        "spans": stats["open_spans"],
        "pending": stats["pending"],
    }


def break_off(app: App, endpoint: str, each: int) -> None:
    """`each` runs of every ending, over all frameworks in turn."""
    ironspan = app.init(endpoint)
    found = [way for framework in programs.FRAMEWORKS for way in programs.ways(framework)]
    made = dict.fromkeys(ENDINGS, 0)

    async def some(ending: str, count: int) -> None:
        chosen = [way for way in found if way.ending == ending]
        while count > 0:
            now = min(count, _AT_ONCE)
            start = made[ending]
            await asyncio.gather(*(chosen[(start + n) % len(chosen)].work() for n in range(now)))
            made[ending] += now
            count -= now

    async def everything() -> None:
        for ending in ENDINGS:
            await some(ending, _WARM)
        await programs.settle(opened)
        ironspan.flush(10.0)
        memory = probe.Memory()
        for ending in ENDINGS:
            left = each
            while left > 0:
                await some(ending, min(left, 1_000))
                left -= 1_000
                ironspan.flush(10.0)
        await programs.settle(opened)
        ironspan.flush(10.0)
        app.emit("over", made=made, growth=memory.growth(), open=open_counts(ironspan))

    asyncio.run(everything())


@scenario("L13", "30,000 cancelled, dropped and failing runs in all three frameworks: nothing stays open")
def broken_runs(run: Run) -> None:
    need(run, *programs.FRAMEWORKS)
    each = run.pick(150, 10_000)
    receiver = run.receiver("ok", detail="count")
    found = run.app(break_off, endpoint=receiver.endpoint, each=each, timeout=1_500).one("over")
    made = {ending: count - _WARM for ending, count in found["made"].items()}
    run.check("runs", made, f"{each} of each", set(made.values()) == {each})
    run.check("left open", found["open"], "0", not any(found["open"].values()))
    run.check("memory growth", f"{found['growth'] / 1e6:.1f} MB", "at most 20 MB", found["growth"] <= 20e6)


def one_by_one(app: App, framework: str, rounds: int) -> None:
    """Every way of one framework, and what it left."""
    import ironspan
    from ironspan.testing import MemoryExporter

    from tests.support.outline import outline

    memory = MemoryExporter()
    ironspan.init("faults", exporters=[memory])
    ways = programs.ways(framework)

    async def everything() -> None:
        for _ in range(rounds):
            for way in ways:
                await way.work()
                await programs.settle(opened)
                spans = memory.spans
                said = [
                    span.attributes.get("gen_ai.output.messages", "") for span in spans if span.kind == "generation"
                ]
                memory.clear()
                tree = outline(spans, sort=True)
                kept = way.text is None or any(keeps(text, way.text) for text in said)
                if tree != way.tree or not kept:
                    app.emit("other", way=f"{way.ending} {way.name}", tree=tree, said=said)

    asyncio.run(everything())
    app.emit("over", ways=len(ways) * rounds, open=open_counts(ironspan))


def keeps(messages: str, text: str) -> bool:
    """Whether recorded messages have just this much of an answer of three words."""
    said = " ".join(word for word in ("one", "two", "three") if word in messages)
    return said == text


@scenario(
    "L14", "each way of not coming to an end leaves its true tree; partial text is kept; control flow is no error"
)
def true_endings(run: Run) -> None:
    need(run, *programs.FRAMEWORKS)
    rounds = run.pick(1, 40)
    running = {name: run.start(one_by_one, framework=name, rounds=rounds) for name in programs.FRAMEWORKS}
    for framework, process in running.items():
        result = run.finish(process, timeout=600)
        over = result.one("over")
        wrong = result.all("other")
        shown = f"{len(wrong)} of {over['ways']}" + "".join(
            f" | {w['way']}: {w['tree']!r} {w['said']}" for w in wrong[:2]
        )
        run.check(f"{framework}: other than expected", shown, "0", not wrong)
        run.check(f"{framework}: left open", over["open"], "0", not any(over["open"].values()))


# Abandoned


def held(app: App, endpoint: str, framework: str, count: int) -> None:
    """Streams that the program holds and never reads on, and runs whose end is never told."""
    ironspan = app.init(endpoint)
    keep: list[Any] = []
    if framework == "langchain":
        import uuid

        from ironspan.langchain import CallbackHandler

        from tests.support.models import FixedChatModel

        handler = CallbackHandler()
        for _ in range(count):
            stream = FixedChatModel().stream("?", {"callbacks": [handler]})
            next(stream)
            run_id = uuid.uuid4()
            handler.on_chain_start({"name": "never ends"}, {}, run_id=run_id)
            keep += [stream, run_id]
    else:
        from llama_index.core.base.llms.types import ChatMessage
        from llama_index.core.instrumentation import get_dispatcher

        from tests.support.llama import ScriptedModel

        ironspan.instrument("llamaindex")
        dispatcher = get_dispatcher()
        for number in range(count):
            stream = ScriptedModel().stream_chat([ChatMessage(role="user", content="?")])
            next(stream)
            keep.append(stream)
            # The dispatcher announces a call and breaks before its end.
            dispatcher.span_enter(
                id_=f"Engine.query-00000000-0000-0000-0000-{number:012}", bound_args=arguments(), instance=None
            )
    gc.collect()
    await_idle(0)
    app.emit("over", left=opened(), open=open_counts(ironspan))
    # Reading on is the program's right, whatever became of the span.
    rest = [len(list(stream)) for stream in keep if hasattr(stream, "__next__")]
    app.emit("rest", least=min(rest))


def arguments() -> Any:
    import inspect

    def call(question: str) -> None:
        """Only its signature is used."""

    return inspect.signature(call).bind("?")


def await_idle(most: int, seconds: float = 20.0) -> None:
    """Waits until idle runs have been ended. They are looked for when a run begins, so one begins now and then."""
    import uuid

    from ironspan.langchain import CallbackHandler

    handler = CallbackHandler()
    deadline = time.monotonic() + seconds
    while opened() > most and time.monotonic() < deadline:
        time.sleep(0.05)
        run_id = uuid.uuid4()
        handler.on_chain_start({"name": "look"}, {}, run_id=run_id)
        handler.on_chain_end({}, run_id=run_id)


def judge_held(run: Run, framework: str, process: Process, receiver: Remote, count: int) -> None:
    result = run.finish(process)
    over = result.one("over")
    run.check(f"{framework}: after the idle limit", over["left"], "0", over["left"] == 0)
    run.check(
        f"{framework}: chunks read on", result.one("rest")["least"], "at least 1", result.one("rest")["least"] > 0
    )
    ended = [span for span in receiver.spans() if not span["name"].endswith("look")]
    marked = [span["end"] - span["start"] for span in ended if status_of(span) == "abandoned"]
    run.check(f"{framework}: marked", f"{len(marked)} of {len(ended)}", f"{2 * count}", len(marked) == 2 * count)
    # The limit and the span are measured by two clocks.
    soonest = min(marked, default=0) / 1e9
    run.check(f"{framework}: open for", f"{soonest:.1f} s at least", "the idle limit, 1 s", soonest >= 0.99)


def status_of(span: dict[str, Any]) -> Any:
    return span["attributes"].get("ironspan.status")


def break_llamaindex(app: App, endpoint: str, rounds: int) -> None:
    """Workflows cancelled, streams never consumed, and another handler of the dispatcher that raises."""
    ironspan = app.init(endpoint)
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

    from tests.support.llama import ScriptedModel

    ways = {f"{way.ending} {way.name}": way for way in programs.llamaindex()}
    chosen = [ways["cancelled workflow"].work, ways["dropped model, unread"].work]

    raised = 0

    class Raising(BaseSpanHandler[Any]):
        """Somebody else's handler, in front of ours or behind it."""

        def span_enter(self, *args: Any, **kwargs: Any) -> None:
            nonlocal raised
            raised += 1
            raise ValueError("not ours")

        span_exit = span_drop = span_enter

        def new_span(self, *args: Any, **kwargs: Any) -> None: ...
        def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None: ...
        def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None: ...

    async def everything() -> None:
        for _ in range(rounds):
            await asyncio.gather(*(work() for work in chosen))

    asyncio.run(everything())
    dispatcher = get_dispatcher()
    other = Raising()
    for place in (0, len(dispatcher.span_handlers)):
        dispatcher.span_handlers.insert(place, other)
        for _ in range(rounds):
            ScriptedModel().chat([ChatMessage(role="user", content="?")])
        dispatcher.span_handlers.remove(other)
    for number in range(rounds):
        # Announced, and then the dispatcher breaks: neither an exit nor a drop follows.
        id_ = f"Engine.query-00000000-0000-0000-0000-{number:012}"
        dispatcher.span_enter(id_=id_, bound_args=arguments(), instance=None)
    left = opened()
    await_idle(0)
    app.emit("over", raised=raised, left=left, open=open_counts(ironspan))


@scenario("L10", "LlamaIndex: workflows cancelled, streams never consumed, a dispatcher that fails", lane="quiet")
def llamaindex_left_open(run: Run) -> None:
    need(run, "llamaindex")
    receiver = run.receiver("ok", detail="count")
    rounds = run.pick(20, 500)
    found = run.app(
        break_llamaindex, endpoint=receiver.endpoint, rounds=rounds, environment=_SHORT_IDLE_LIMIT, timeout=300
    )
    over = found.one("over")
    shown = f"{over['open']['table']}; before {over['left']}"
    run.check("open after the idle limit", shown, "0", over["open"]["table"] == 0 and over["left"] == rounds)
    run.check("times another handler raised", over["raised"], f"{4 * rounds}", over["raised"] == 4 * rounds)
    run.check("spans open", over["open"]["spans"], "0", over["open"]["spans"] == 0)


def overfill(app: App, endpoint: str, count: int) -> None:
    """More runs than the table takes, none of which ends; ids are held so that their death ends none."""
    import uuid

    from ironspan.langchain import CallbackHandler

    ironspan = app.init(endpoint)
    handler = CallbackHandler()
    ids = []
    most = 0
    for number in range(count):
        run_id = uuid.UUID(int=number + 1)
        ids.append(run_id)
        if number % 2:
            handler.on_chain_start({"name": "never ends"}, {}, run_id=run_id)
        else:
            handler.on_llm_start({"name": "never ends"}, ["?"], run_id=run_id)
        if number % 100 == 0:
            most = max(most, handler.open_runs)
    # Old and new runs may end yet: those that were given up are ended already, those that are open end well.
    for run_id in ids:
        handler.on_chain_end({}, run_id=run_id)
    ironspan.flush(10.0)
    app.emit("over", most=most, open=open_counts(ironspan), created=ironspan.stats()["created"])


@scenario("L15", "runs that never end: abandoned after the idle limit, and never more than the cap", lane="quiet")
def abandoned(run: Run) -> None:
    frameworks = ("langchain", "llamaindex")
    need(run, *frameworks)
    count, total = run.pick(50, 2_000), run.pick(12_000, 50_000)
    running = []
    for framework in frameworks:
        receiver = run.receiver("ok", detail="spans")
        process = run.start(
            held, endpoint=receiver.endpoint, framework=framework, count=count, environment=_SHORT_IDLE_LIMIT
        )
        running.append((framework, process, receiver))
    receiver = run.receiver("ok", detail="spans")
    over = run.app(overfill, endpoint=receiver.endpoint, count=total, timeout=300).one("over")
    for framework, process, remote in running:
        judge_held(run, framework, process, remote, count)
    run.check("open at most", over["most"], "10,000", 9_000 < over["most"] <= 10_000)
    run.check("left open", over["open"], "0", not any(over["open"].values()))
    spans = receiver.spans()
    gone = sum(status_of(span) == "abandoned" for span in spans)
    run.check("ended", f"{over['created']}, arrived {len(spans)}", f"{total}", over["created"] == total == len(spans))
    run.check("marked abandoned", gone, f"at least {total - 10_000}", total - 10_000 <= gone < total)


def need(run: Run, *frameworks: str) -> None:
    """Skips the scenario where a framework is missing."""
    run.need(*{module for name in frameworks for module in programs.FRAMEWORKS[name]})
