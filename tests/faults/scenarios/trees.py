"""L, third part: every run in its place, once, whatever runs beside it and however the handler was passed."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from tests.faults.app import App
from tests.faults.harness import Run, scenario
from tests.faults.scenarios import programs

__all__: list[str] = []

#: Requests that end before their background tasks start; well below the 1,024 ended runs that are remembered.
BATCH = 100


def background(app: App, endpoint: str, batches: int) -> None:
    """Requests whose code starts tasks that call a model after the request has ended."""
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import START, StateGraph
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

    from tests.support.llama import ScriptedModel
    from tests.support.models import FixedChatModel

    ironspan.instrument("llamaindex")
    settings: Any = {"callbacks": [CallbackHandler()]}
    model, scripted = FixedChatModel(), ScriptedModel()
    tasks: list[asyncio.Task[Any]] = []
    released: asyncio.Event

    def start(call: Any) -> None:
        async def later() -> None:
            await released.wait()
            await call()

        tasks.append(asyncio.create_task(later()))

    async def request(number: int) -> None:
        start(lambda: model.ainvoke(f"late {number}"))

    async def node(state: dict[str, Any]) -> dict[str, Any]:
        start(lambda: model.ainvoke(f"late {state['number']}"))
        return {}

    class Late(Workflow):
        @step
        async def work(self, ev: StartEvent) -> StopEvent:
            number = ev.get("number")
            start(lambda: scripted.achat([ChatMessage(role="user", content=f"late {number}")]))
            return StopEvent(result=number)

    graph = StateGraph(dict)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    compiled = graph.compile(name="graph")

    async def run(number: int) -> None:
        what = number % 3
        if what == 0:
            await RunnableLambda(request, name="request").ainvoke(number, {**settings, "metadata": {"number": number}})
        elif what == 1:
            await compiled.ainvoke({"number": number}, {**settings, "metadata": {"number": number}})
        else:
            with ironspan.span("caller") as span:
                span.set("number", number)
                await Late(timeout=None).run(number=number)

    async def everything() -> None:
        nonlocal released
        for batch in range(batches):
            released = asyncio.Event()
            await asyncio.gather(*(run(number) for number in range(batch * BATCH, (batch + 1) * BATCH)))
            released.set()
            await asyncio.gather(*tasks)
            tasks.clear()
            ironspan.flush(10.0)

    asyncio.run(everything())


@scenario("L03", "a background task calls a model after its request has ended")
def late_children(run: Run) -> None:
    run.need(*{module for modules in programs.FRAMEWORKS.values() for module in modules})
    batches = run.pick(2, 40)
    receiver = run.receiver("ok", detail="spans")
    run.app(background, endpoint=receiver.endpoint, batches=batches, timeout=600)
    spans = {span["span_id"]: span for span in receiver.spans()}
    late = [span for span in spans.values() if "late " in str(span["attributes"].get("gen_ai.input.messages"))]
    places = {"request": 0, "node": 0, "work": 0}
    for span in late:
        parent = spans.get(span["parent_id"])
        top = parent
        while top is not None and top["parent_id"]:
            top = spans.get(top["parent_id"])
        number = None if top is None else top["attributes"].get("number")
        ended = parent is not None and parent["end"] <= span["start"]
        if parent is not None and ended and f'"late {number}"' in span["attributes"]["gen_ai.input.messages"]:
            name = parent["name"].rpartition(" ")[2]
            places[name] = places.get(name, 0) + 1
    total = batches * BATCH
    linked = sum(places.get(name, 0) for name in ("request", "node", "work"))
    run.check(
        "linked to the run that started them",
        f"{linked} of {len(late)} {places}",
        f"{total}",
        linked == total == len(late),
    )


def crowded(app: App, endpoint: str, count: int, threads: int) -> None:
    ironspan = app.init(endpoint)
    from ironspan.langchain import CallbackHandler

    from tests.support import crowd

    handler = CallbackHandler()
    crowd.run(handler, count, threads=threads)
    ironspan.flush(10.0)
    crowd.run(handler, count, threads=threads, own=ironspan.span)
    ironspan.flush(10.0)


@scenario("L04", "1,000 requests at once on one handler, in tasks and in threads, with and without own spans")
def no_cross_talk(run: Run) -> None:
    run.need("langchain_core")
    from tests.support import crowd

    count = run.pick(200, 1_000)
    receiver = run.receiver("ok", detail="spans")
    run.app(crowded, endpoint=receiver.endpoint, count=count, threads=count // 4, timeout=300)
    spans = receiver.spans()
    with_own = {span["trace_id"] for span in spans if span["name"].startswith("own ")}
    for own in (False, True):
        mine = [span for span in spans if (span["trace_id"] in with_own) == own]
        wrong = crowd.wrong(mine, count, own=own)
        shown = f"{len(wrong)} of {count} {wrong[:1] or ''}"
        run.check("wrong trees" + (", with own spans" if own else ""), shown, "0", not wrong)


def passed_around(app: App, endpoint: str, rounds: int) -> None:
    """The handler in every combination of ways in which LangChain takes one; the same handler and others."""
    import ironspan
    from ironspan.langchain import CallbackHandler
    from ironspan.testing import MemoryExporter
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import tool

    from tests.support.models import FixedChatModel
    from tests.support.outline import outline

    memory = MemoryExporter()
    ironspan.init("faults", exporters=[memory])
    shared = CallbackHandler()
    expected = "workflow outer\n  generation gpt-4o\n  tool echo\n"
    wrong: list[list[Any]] = []
    tried = 0

    @tool
    def echo(text: str) -> str:
        """Gives back what it is given."""
        return text

    def program(globally: bool, call: int, model: int, inherited: bool, bound: bool) -> None:
        def handlers(count: int) -> list[Any]:
            return [shared, *(CallbackHandler() for _ in range(count - 1))][:count]

        asked = FixedChatModel(callbacks=handlers(model) or None)

        def step(value: Any) -> Any:
            asked.invoke("?", None if inherited else {"callbacks": handlers(1)})
            return echo.invoke({"text": "x"}, {"callbacks": handlers(2)})

        runnable: Any = RunnableLambda(step, name="outer")
        if bound:
            runnable = runnable.with_config(callbacks=handlers(1))
        runnable.invoke(1, {"callbacks": handlers(call)} if call else None)

    for globally in (False, True):
        if globally:
            ironspan.instrument("langchain")
        # Without any of the three nobody is told of the outer run.
        for call, model, inherited, bound in itertools.product((0, 1, 2), (0, 1, 2), (True, False), (False, True)):
            if not (globally or call or bound):
                continue
            for _ in range(rounds):
                program(globally, call, model, inherited, bound)
                tried += 1
                tree = outline(memory.spans, sort=True)
                memory.clear()
                if tree != expected:
                    wrong.append([globally, call, model, inherited, bound, tree])
    app.emit("over", tried=tried, wrong=len(wrong), first=wrong[:1])


@scenario("L05", "the handler passed globally, by call, by object and by inheritance, in every combination")
def one_span_each(run: Run) -> None:
    run.need("langchain_core")
    found = run.app(passed_around, endpoint="", rounds=run.pick(1, 50), timeout=300).one("over")
    shown = f"{found['wrong']} of {found['tried']} {found['first'] or ''}"
    run.check("programs with other than one span for each run", shown, "0", found["wrong"] == 0 and found["tried"] > 50)
