"""Programs in LangChain, LangGraph and LlamaIndex that do not come to their end: cancelled, dropped or failing.

Each `Way` is one such program with the tree that it has to leave, judged from what the program does. The frameworks are
imported where they are needed: scenarios are listed and skipped where there are none.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

__all__ = ["FRAMEWORKS", "Broken", "Way", "langchain", "langgraph", "llamaindex", "settle", "ways"]

#: Modules that the programs of a framework need.
FRAMEWORKS = {
    "langchain": ("langchain_core",),
    "langgraph": ("langchain_core", "langgraph"),
    "llamaindex": ("llama_index.core", "workflows"),
}


class Broken(Exception):
    """What failing programs raise."""


@dataclass
class Way:
    """One way not to come to an end.

    `ending` is `cancelled`, `dropped` or `failed`; `tree` the outline of the spans, siblings sorted; `text` what the
    generation keeps of an answer of three words, `None` where there is none.
    """

    name: str
    ending: str
    work: Callable[[], Awaitable[None]]
    tree: str
    text: str | None = None


def ways(framework: str) -> list[Way]:
    return {"langchain": langchain, "langgraph": langgraph, "llamaindex": llamaindex}[framework]()


_reached: ContextVar[asyncio.Event] = ContextVar("reached")


async def forever() -> None:
    """Says that the program is here, and waits until it is cancelled."""
    _reached.get().set()
    await asyncio.Event().wait()


async def cancelled(start: Callable[[], Awaitable[Any]], stop: Callable[[], Awaitable[Any]] | None = None) -> None:
    """Runs a program until it waits for ever, then cancels it, or has `stop` do that."""
    here = asyncio.Event()
    token = _reached.set(here)
    task = asyncio.ensure_future(start())
    _reached.reset(token)
    waiting = asyncio.ensure_future(here.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        raise AssertionError(f"the program ended before it was cancelled: {task!r}")
    if stop is None:
        task.cancel()
    else:
        await stop()
    try:
        await task
    except BaseException as error:
        if "Cancelled" not in type(error).__name__:
            raise


async def failing(call: Callable[[], Any]) -> None:
    """Runs a program that has to end with `Broken`."""
    try:
        result = call()
        if hasattr(result, "__await__"):
            await result
    except Broken:
        return
    raise AssertionError("the program did not fail")


async def settle(open_runs: Callable[[], int], seconds: float = 20.0) -> None:
    """Gives the event loop turns and the garbage collector work until no run is open, for at most so long."""
    import gc
    import time

    deadline = time.monotonic() + seconds
    while True:
        # Async generators that are let go are closed by the loop, in its next turns.
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        if not open_runs() or time.monotonic() > deadline:
            return
        await asyncio.sleep(0.01)


# LangChain

CHAIN_DROPPED = (
    "workflow RunnableSequence [cancelled]\n"
    "  generation gpt-4o [cancelled]\n"
    "  span ChatPromptTemplate\n"
    "  span StrOutputParser [cancelled]\n"
)

#: A synchronous chain whose stream is dropped reads its model to the end nevertheless, and says that it ended.
CHAIN_READ = "workflow RunnableSequence\n  generation gpt-4o\n  span ChatPromptTemplate\n  span StrOutputParser\n"
CANCELLED_CHAIN = "workflow RunnableSequence [cancelled]\n  generation gpt-4o [cancelled]\n  span ChatPromptTemplate\n"


def _waiting_model() -> Any:
    from langchain_core.outputs import ChatGenerationChunk

    from tests.support.models import FixedChatModel

    class Waiting(FixedChatModel):
        """Streams its first word and then nothing more; asked for all of it, gives nothing."""

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await forever()

        async def _astream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            for chunk in self._stream(messages):
                yield chunk
                if chunk.message.content:
                    await forever()

    return Waiting()


def broken() -> Any:
    """A model that fails, with an exception of its own: one that is raised again grows by a traceback each time."""
    from tests.support.models import FixedChatModel

    return FixedChatModel(failure=Broken())


def langchain() -> list[Way]:
    from ironspan.langchain import CallbackHandler
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableLambda, RunnableParallel
    from langchain_core.tools import tool

    from tests.support.models import FixedChatModel, chain

    settings: Any = {"callbacks": [CallbackHandler()]}
    asked = {"question": "?"}
    waiting = _waiting_model()
    waits = ChatPromptTemplate.from_messages([("user", "{question}")]) | waiting | StrOutputParser()
    model, whole = FixedChatModel(), chain()

    @tool
    async def wait() -> None:
        """Wait."""
        await forever()

    @tool
    def fail() -> None:
        """Fail."""
        raise Broken("tool")

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            raise Broken("shelf")

    async def wait_inside(_: Any) -> Any:
        return await wait.ainvoke({})

    waits_inside = RunnableLambda(wait_inside, name="outer")
    fails_inside = RunnableLambda(lambda _: fail.invoke({}), name="outer")
    side_by_side = RunnableParallel(a=RunnableLambda(wait_inside, name="a"), b=RunnableLambda(lambda x: x, name="b"))
    shelf = Shelf()

    async def read_all() -> None:
        async for _ in waiting.astream("?", settings):
            pass

    async def drop_sync() -> None:
        for chunk in model.stream("?", settings):
            if chunk.content:
                break

    async def drop_chain_sync() -> None:
        for word in whole.stream(asked, settings):
            if word:
                break

    async def drop_closed() -> None:
        stream = whole.astream(asked, settings)
        async for word in stream:
            if word:
                break
        await stream.aclose()

    async def drop_unclosed() -> None:
        async for word in whole.astream(asked, settings):
            if word:
                break

    async def drop_events() -> None:
        async for event in whole.astream_events(asked, settings, version="v2"):
            if event["event"] == "on_parser_stream" and event["data"]["chunk"]:
                break

    generation = "generation gpt-4o [cancelled]\n"
    return [
        Way("chain", "cancelled", lambda: cancelled(lambda: waits.ainvoke(asked, settings)), CANCELLED_CHAIN),
        Way("stream", "cancelled", lambda: cancelled(read_all), generation, "one"),
        Way(
            "tool",
            "cancelled",
            lambda: cancelled(lambda: waits_inside.ainvoke(1, settings)),
            "workflow outer [cancelled]\n  tool wait [cancelled]\n",
        ),
        Way(
            "branches",
            "cancelled",
            lambda: cancelled(lambda: side_by_side.ainvoke(1, settings)),
            "workflow RunnableParallel<a,b> [cancelled]\n  span a [cancelled]\n    tool wait [cancelled]\n  span b\n",
        ),
        Way("model", "dropped", drop_sync, generation, "one"),
        Way("chain, sync", "dropped", drop_chain_sync, CHAIN_READ, "one two three"),
        Way("chain, closed", "dropped", drop_closed, CHAIN_DROPPED, "one"),
        Way("chain, let go", "dropped", drop_unclosed, CHAIN_DROPPED, "one"),
        Way("events", "dropped", drop_events, CHAIN_DROPPED, "one"),
        Way("model", "failed", lambda: failing(lambda: broken().invoke("?", settings)), "generation gpt-4o [error]\n"),
        Way(
            "stream",
            "failed",
            lambda: failing(lambda: list(chain(failure=Broken()).stream(asked, settings))),
            "workflow RunnableSequence [error]\n"
            "  generation gpt-4o [error]\n"
            "  span ChatPromptTemplate\n"
            "  span StrOutputParser [error]\n",
            "one two",
        ),
        Way(
            "tool",
            "failed",
            lambda: failing(lambda: fails_inside.invoke(1, settings)),
            "workflow outer [error]\n  tool fail [error]\n",
        ),
        Way("retriever", "failed", lambda: failing(lambda: shelf.ainvoke("?", settings)), "retrieval Shelf [error]\n"),
    ]


# LangGraph


def langgraph() -> list[Way]:
    from ironspan.langchain import CallbackHandler
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, StateGraph
    from langgraph.types import Command, interrupt

    from tests.support.models import FixedChatModel

    settings: Any = {"callbacks": [CallbackHandler()]}
    model, waiting = FixedChatModel(), _waiting_model()

    def graph(*nodes: Callable[[Any], Any], **options: Any) -> Any:
        made = StateGraph(dict)
        for node in nodes:
            made.add_node(node.__name__, node)
        made.add_edge(START, nodes[0].__name__)
        for before, after in itertools.pairwise(nodes):
            made.add_edge(before.__name__, after.__name__)
        return made.compile(name="work", **options)

    def first(state: Any) -> Any:
        return {"said": str(model.invoke("?").content)}

    async def waits(state: Any) -> Any:
        await waiting.ainvoke("?")

    async def streams(state: Any) -> Any:
        async for _ in waiting.astream("?"):
            pass

    def second(state: Any) -> Any:
        return {}

    def fails(state: Any) -> Any:
        return broken().invoke("?")

    def asks(state: Any) -> Any:
        return {"approved": interrupt("ok?")}

    def hands_over(state: Any) -> Any:
        return Command(graph=Command.PARENT, goto="second")

    saver = InMemorySaver()
    waits_graph, two, fails_graph = graph(first, waits), graph(first, second), graph(first, fails)
    streams_graph, asks_graph = graph(streams, second), graph(asks, checkpointer=saver)

    inner = StateGraph(dict)
    inner.add_node("hands_over", hands_over)
    inner.add_edge(START, "hands_over")
    outer = StateGraph(dict)
    outer.add_node("inner", inner.compile(name="inner graph"), destinations=("second",))
    outer.add_node("second", second)
    outer.add_edge(START, "inner")
    hand_over = outer.compile(name="work")

    async def drop_sync() -> None:
        for _ in two.stream({}, settings):
            break

    async def drop_closed() -> None:
        stream = two.astream({}, settings)
        async for _ in stream:
            break
        await stream.aclose()

    async def drop_messages() -> None:
        _reached.set(asyncio.Event())
        stream = streams_graph.astream({}, settings, stream_mode="messages")
        async for message, _ in stream:
            if message.content:
                break
        await stream.aclose()

    async def pause() -> None:
        thread = uuid.uuid4().hex
        await asks_graph.ainvoke({}, {**settings, "configurable": {"thread_id": thread}})
        saver.delete_thread(thread)

    async def hand() -> None:
        await hand_over.ainvoke({}, settings)

    asked = "  span first\n    generation gpt-4o\n"
    return [
        Way(
            "graph",
            "cancelled",
            lambda: cancelled(lambda: waits_graph.ainvoke({}, settings)),
            f"workflow work [cancelled]\n{asked}  span waits [cancelled]\n    generation gpt-4o [cancelled]\n",
        ),
        Way("graph, sync", "dropped", drop_sync, f"workflow work [cancelled]\n{asked}"),
        Way("graph, closed", "dropped", drop_closed, f"workflow work [cancelled]\n{asked}"),
        Way(
            "messages",
            "dropped",
            drop_messages,
            "workflow work [cancelled]\n  span streams [cancelled]\n    generation gpt-4o [cancelled]\n",
            "one",
        ),
        Way(
            "node",
            "failed",
            lambda: failing(lambda: fails_graph.invoke({}, settings)),
            f"workflow work [error]\n  span fails [error]\n    generation gpt-4o [error]\n{asked}",
        ),
        Way("interrupt", "failed", pause, "workflow work [interrupted]\n  span asks [interrupted]\n"),
        Way(
            "hand-over",
            "failed",
            hand,
            "workflow work\n  span inner\n    span inner graph\n      span hands_over\n  span second\n",
        ),
    ]


# LlamaIndex


def llamaindex() -> list[Way]:
    import ironspan
    from llama_index.core.base.llms.types import ChatMessage, ChatResponseAsyncGen, CompletionResponse
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.tools import FunctionTool
    from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step

    from tests.support.llama import ScriptedModel, index

    documents = index()
    ironspan.instrument("llamaindex")

    class Waiting(ScriptedModel):
        """Streams its first word and then nothing more; asked for all of it, gives nothing."""

        @llm_completion_callback()
        async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            await forever()
            raise AssertionError("waited for ever, and went on")

        @llm_chat_callback()
        async def astream_chat(self, messages: Any, **kwargs: Any) -> ChatResponseAsyncGen:
            async def stream() -> ChatResponseAsyncGen:
                yield self._chunks()[0]
                await forever()

            return stream()

    class Said(Event):
        text: str

    class Steps(Workflow):
        """Says a word and then waits, fails or goes on."""

        @step
        async def look(self, ctx: Context, ev: StartEvent) -> StopEvent:
            ctx.write_event_to_stream(Said(text="one"))
            if ev.get("then") == "fail":
                raise Broken("step")
            if ev.get("then") == "wait":
                await forever()
            return StopEvent(result="done")

    question = [ChatMessage(role="user", content="?")]
    model, waiting = ScriptedModel(), Waiting()
    engine = documents.as_query_engine(llm=model)
    waits = documents.as_query_engine(llm=waiting)
    streams = documents.as_query_engine(llm=model, streaming=True)

    def break_off(text: str) -> str:
        """Breaks."""
        raise Broken(text)

    tool = FunctionTool.from_defaults(break_off)

    async def read_all() -> None:
        async for _ in await waiting.astream_chat(question):
            pass

    async def cancel_workflow() -> None:
        handler: Any = None

        async def start() -> None:
            nonlocal handler
            handler = Steps(timeout=None).run(then="wait")
            await handler

        async def stop() -> None:
            await handler.cancel_run()

        await cancelled(start, stop)

    async def drop_sync() -> None:
        for _ in model.stream_chat(question):
            break

    async def drop_unclosed() -> None:
        async for _ in await model.astream_chat(question):
            break

    async def drop_unread() -> None:
        model.stream_chat(question)

    async def drop_answer() -> None:
        answer = streams.query("why?")
        for _ in answer.response_gen:
            break

    async def drop_steps() -> None:
        handler = Steps(timeout=None).run()
        async for _ in handler.stream_events():
            break
        await handler

    def fails() -> Any:
        return documents.as_query_engine(llm=ScriptedModel(script=[Broken("model")])).query("why?")

    async def fail_stream() -> None:
        def stream() -> Iterator[Any]:
            yield from ScriptedModel(script=[Broken("stream")]).stream_chat(question)

        await failing(lambda: list(stream()))

    async def fail_steps() -> None:
        handler = Steps(timeout=None).run(then="fail")
        await failing(lambda: handler)

    found = "  retrieval VectorIndexRetriever\n    embedding MockEmbedding\n"

    def asked(status: str, engine_status: str) -> str:
        return (
            f"workflow RetrieverQueryEngine{engine_status}\n{found}"
            f"  span CompactAndRefine{engine_status}\n    generation gpt-4o{status}\n"
        )

    generation = "generation gpt-4o [cancelled]\n"
    return [
        Way(
            "query",
            "cancelled",
            lambda: cancelled(lambda: waits.aquery("why?")),
            asked(" [cancelled]", " [cancelled]"),
        ),
        Way("stream", "cancelled", lambda: cancelled(read_all), generation, "one"),
        Way("workflow", "cancelled", cancel_workflow, "workflow Steps [cancelled]\n  span look [cancelled]\n"),
        Way("model", "dropped", drop_sync, generation, "one"),
        Way("model, let go", "dropped", drop_unclosed, generation, "one"),
        Way("model, unread", "dropped", drop_unread, generation),
        Way("query", "dropped", drop_answer, asked(" [cancelled]", ""), "one"),
        Way("events", "dropped", drop_steps, "workflow Steps\n  span look\n"),
        Way("query", "failed", lambda: failing(fails), asked(" [error]", " [error]")),
        Way("stream", "failed", fail_stream, "generation gpt-4o [error]\n"),
        Way("tool", "failed", lambda: failing(lambda: tool.call(text="x")), "tool break_off [error]\n"),
        Way("workflow", "failed", fail_steps, "workflow Steps [error]\n  span look [error]\n"),
        Way("query, after all", "failed", lambda: _answered(engine), asked("", "")),
    ]


async def _answered(engine: Any) -> None:
    """The same engine still answers: nothing of the broken runs is left in its way."""
    if str(await engine.aquery("why?")) != "one two three":
        raise AssertionError("the engine answered otherwise")
