"""The span handler: each call that LlamaIndex's dispatcher announces is started, entered, left and ended here.

The dispatcher calls `span_enter` and `span_exit` in the context of the code between them, so a call's span is made
current for that time, and whatever the code opens hangs below it. Two kinds of calls outlive their exit: a workflow's
`run` returns a handler, and a model's stream returns a generator. The first is never made current, because its caller
goes on with other things; its steps find it by the id that the dispatcher hands on. The second is left at the exit and
ended by the event that closes the stream, or when the generator goes away.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncGenerator, Generator, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import ironspan
from ironspan import Span, _core, _versions
from ironspan._guard import harmless
from ironspan._runs import RUNS, Run
from ironspan.llamaindex import _describe

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.llms.base import BaseLLM
    from llama_index.core.chat_engine.types import BaseChatEngine
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
    from llama_index.core.response_synthesizers.base import BaseSynthesizer
    from llama_index.core.tools.types import BaseTool
else:

    def _take(module: str, name: str) -> Any:
        return _versions.take("llama-index-core", f"llama_index.core.{module}", name)

    BaseQueryEngine = _take("base.base_query_engine", "BaseQueryEngine")
    BaseRetriever = _take("base.base_retriever", "BaseRetriever")
    BaseEmbedding = _take("base.embeddings.base", "BaseEmbedding")
    BaseLLM = _take("base.llms.base", "BaseLLM")
    BaseChatEngine = _take("chat_engine.types", "BaseChatEngine")
    BaseSpanHandler = _take("instrumentation.span_handlers", "BaseSpanHandler")
    BaseSynthesizer = _take("response_synthesizers.base", "BaseSynthesizer")
    BaseTool = _take("tools.types", "BaseTool")

__all__ = ["Call", "Spans", "calls", "close_rerank", "fail", "open_rerank", "say_last"]


class Call(Run):
    """One call: a run that knows what its end has to write."""

    __slots__ = ("call_id", "cancelled", "entered", "kind", "streams", "turn")

    def __init__(self, key: Hashable, parent: Hashable | None, span: Any, base: str) -> None:
        super().__init__()
        #: Verb that stands for it; empty for one that is not shown.
        self.kind = ""
        #: Whether its span is current while its code runs.
        self.entered = False
        #: Whether what it returned is a stream, which ends it.
        self.streams = False
        #: Whether an event has said that it was cancelled; the exit then looks like any other.
        self.cancelled = False
        #: The turn of the agent at work, for a run of several agents.
        self.turn: Call | None = None
        #: Id of the tool call, for the step that makes it.
        self.call_id: str | None = None


def calls(key: Any) -> Call | None:
    """The open call of that id."""
    run = RUNS.get(key)
    return run if isinstance(run, Call) else None


class Spans(BaseSpanHandler[Any]):
    """Turns the dispatcher's signals into spans. Keeps nothing itself."""

    @classmethod
    def class_name(cls) -> str:
        return "IronspanSpans"

    @harmless
    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if RUNS.get(id_) is None:
            _Start(id_, bound_args, instance, parent_id).go()

    @harmless
    def span_exit(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        result: Any = None,
        **kwargs: Any,
    ) -> None:
        call = calls(id_)
        if call is None:
            return
        if call.kind == "generation" and (inspect.isgenerator(result) or inspect.isasyncgen(result)):
            # The closing event ends it; a generator that is dropped unread brings none.
            call.streams = True
            call.watch = weakref.ref(result, partial(_let_go, id_))
            _leave(call)
            return
        RUNS.close(id_)
        outcome = "cancelled" if call.cancelled else "ok"
        try:
            close_rerank(id_)
            _close_turn(call, outcome)
            if call.owns:
                _write_result(call, result)
        finally:
            _leave(call)
            RUNS.finish(call, outcome)

    @harmless
    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        call = calls(id_)
        if call is None:
            return
        RUNS.close(id_)
        try:
            close_rerank(id_)
            _close_turn(call, error=err)
        finally:
            _leave(call)
            fail(call, err)

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Unused: the signals are taken as they come."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Likewise."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Likewise."""


class _Start:
    """The start of one call."""

    def __init__(self, id_: str, bound: inspect.BoundArguments, instance: Any, parent_id: str | None) -> None:
        self.id, self.bound, self.instance = id_, bound, instance
        # "Class.method-" and a UUID; a step of a workflow has no instance, and a function no class. In versions without
        # the package llama-index-instrumentation the class is the one that defines the method.
        owner, _, self.method = id_[: -len("-00000000-0000-0000-0000-000000000000")].rpartition(".")
        self.owner = owner.rpartition(".")[2] if instance is None else type(instance).__name__
        self.base = _core._current_span_id()
        above = calls(parent_id)
        self.above = above
        #: Named only where it is not what is current in this context anyway.
        self.parent: Any = None
        if above is not None and self.base == above.base and not above.entered:
            self.parent = above.span if above.turn is None else above.turn.span

    def go(self) -> None:
        """Starts the span, makes it current and enters the call."""
        made = self.make()
        call = self.call(made)
        if made is None:
            self.hide(call)
            return
        call.kind = made.kind
        if self.method == "run" and call.kind in ("workflow", "agent"):
            made.start()
        else:
            call.entered = True
            made.__enter__()
        RUNS.open(call)

    def call(self, span: Any) -> Call:
        call = Call(self.id, self.above.key if self.above is not None else None, span, self.base)
        call.agent = self.above.agent if self.above is not None else None
        return call

    def hide(self, call: Call) -> None:
        """Enters a call that is not shown: what is below it hangs below what it would have hung below itself."""
        call.owns = False
        event = _describe.argument(self.bound, "ev")
        run = self.above
        if run is not None and run.kind == "workflow" and self.is_agent_step:
            _turn(run, getattr(event, "current_agent_name", None), event)
        if run is not None and run.turn is not None:
            call.span = run.turn.span
        elif self.parent is not None:
            call.span = self.parent
        else:
            nearest = ironspan.current()
            call.span = nearest if nearest.recording else None
        tool_id = getattr(event, "tool_id", None)
        call.call_id = tool_id if isinstance(tool_id, str) else None
        RUNS.open(call)

    @property
    def is_agent_step(self) -> bool:
        """Whether it is one of the steps of LlamaIndex's own agents."""
        if self.method not in _describe.AGENT_STEPS or "ev" not in self.bound.arguments:
            return False
        # Newer versions tell the class that defines a step, older ones bring the object.
        classes = {self.owner} if self.instance is None else {step.__name__ for step in type(self.instance).__mro__}
        return not classes.isdisjoint(_describe.AGENT_CLASSES)

    def make(self) -> Span | None:
        """The span for this call; `None` when it is not to be shown."""
        if self.is_agent_step or _describe.is_hidden(self.method, self.owner):
            return None
        instance, bound, common = self.instance, self.bound, self.common()
        if isinstance(instance, BaseLLM):
            return self.generation(common)
        if isinstance(instance, BaseEmbedding):
            name = _describe.EMBEDDINGS.get(self.method)
            if name is None or self.is_inside("embedding"):
                return None
            return ironspan.embedding(
                _describe.model_of(instance),
                provider=_describe.provider_of(instance),
                input=_describe.argument(bound, name),
                **common,
            )
        if isinstance(instance, BaseRetriever):
            query = _describe.text_of(_describe.argument(bound, "str_or_query_bundle"))
            return ironspan.retrieval(query, source=self.owner, top_k=_count(instance, "similarity_top_k"), **common)
        if isinstance(instance, BaseTool):
            return self.tool(instance, common)
        if isinstance(instance, BaseQueryEngine | BaseChatEngine | BaseSynthesizer):
            asked = next(
                (v for k, v in bound.arguments.items() if k in ("str_or_query_bundle", "message", "query")), None
            )
            start = ironspan.span if self.above is not None else ironspan.workflow
            return start(self.owner, input=_describe.text_of(asked), **common)
        if self.method == "run" and _is_workflow(instance):
            return self.run(instance, common)
        name = self.method if self.instance is None and self.owner == "" else f"{self.owner}.{self.method}"
        if "ev" in bound.arguments:
            # A step of a workflow is known by its name; its events are what goes in and out.
            return ironspan.span(self.method, input=bound.arguments["ev"], **common)
        return ironspan.span(self.owner if self.method == "__call__" else name, **common)

    def common(self) -> dict[str, Any]:
        return {} if self.parent is None else {"parent": self.parent}

    def is_inside(self, kind: str) -> bool:
        """Whether the nearest call that is shown is of that kind: a model that calls itself is asked once."""
        for above in RUNS.ancestry(self.above) if self.above is not None else ():
            if isinstance(above, Call) and above.owns:
                return above.kind == kind
        return False

    def generation(self, common: dict[str, Any]) -> Span | None:
        if self.method not in _describe.LLM_CALLS or self.is_inside("generation"):
            return None
        chats = "chat" in self.method
        span = ironspan.generation(
            _describe.model_of(self.instance),
            provider=_describe.provider_of(self.instance),
            messages=_describe.argument(self.bound, "messages" if chats else "prompt"),
            params=_describe.params_of(self.instance, self.bound),
            tools=_tools(_describe.argument(self.bound, "tools", 99)),
            **common,
        )
        if self.method in _describe.LLM_STREAMS:
            span.set("gen_ai.request.stream", True)
        return span

    def tool(self, tool: Any, common: dict[str, Any]) -> Span | None:
        if self.is_inside("tool"):
            return None
        call_id = self.above.call_id if self.above is not None else None
        given = self.bound.arguments
        arguments = given.get("kwargs") or given.get("input") or given.get("args")
        return ironspan.tool(
            str(getattr(tool.metadata, "name", None) or self.owner),
            arguments=arguments,
            call_id=call_id,
            description=getattr(tool.metadata, "description", None),
            **common,
        )

    def run(self, workflow: Any, common: dict[str, Any]) -> Span:
        # The caller may have other runs under way, of which the dispatcher takes the last for the parent of this one.
        common.pop("parent", None)
        event = self.bound.arguments.get("start_event")
        given = self.bound.arguments.get("kwargs") or event
        asked = given.get("user_msg", given) if isinstance(given, dict) else getattr(given, "user_msg", given)
        agent = getattr(workflow, "name", None)
        if isinstance(agent, str) and hasattr(workflow, "can_handoff_to"):
            return ironspan.agent(agent, description=getattr(workflow, "description", None), input=asked, **common)
        return ironspan.workflow(self.owner, input=asked, **common)


def fail(call: Call, error: BaseException | None) -> None:
    """Ends a call that has left the table by an exception."""
    outcome = "ok"
    if call.owns and isinstance(call.span, Span):
        ending = _describe.ending_of(error) if error is not None else "cancelled"
        if ending is None and error is not None:
            call.span._broke(error)
        else:
            outcome = ending or outcome
    RUNS.finish(call, outcome)


def say_last(call: Call) -> None:
    """Writes as much of a stream's answer as has come."""
    if isinstance(call.span, Span) and call.metadata is not None:
        call.span._chunks(call.chunks)
        call.span.output(call.metadata.get("last"))


@harmless
def _let_go(id_: str, _stream: weakref.ref[Any]) -> None:
    # Python tells this before it closes the generator, whose event would come too late.
    call = calls(id_)
    if call is not None:
        RUNS.close(id_)
        try:
            say_last(call)
        finally:
            RUNS.finish(call, "cancelled")


def _leave(call: Call) -> None:
    if call.entered and isinstance(call.span, Span):
        call.span._leave()


def _turn(run: Call, agent: Any, event: Any) -> None:
    """Begins the turn of another agent in a run of several, and ends the one before."""
    if not isinstance(agent, str) or (run.turn is not None and run.turn.agent == agent):
        return
    before = run.turn
    _close_turn(run)
    span = ironspan.agent(agent, parent=run.span, input=getattr(event, "input", None))
    if before is not None and before.span is not None:
        span.link(before.span, role="handoff")
    span.start()
    turn = Call(f"{run.key}/{agent}", None, span, run.base)
    turn.agent, turn.kind = agent, "agent"
    run.turn = turn


def _close_turn(run: Call, outcome: str = "ok", error: BaseException | None = None) -> None:
    turn, run.turn = run.turn, None
    if turn is not None and isinstance(turn.span, Span):
        if error is not None and _describe.ending_of(error) is None:
            turn.span._broke(error)
        if outcome == "ok":
            turn.span.end()
        else:
            turn.span._end_as(outcome)


def open_rerank(id_: str, event: Any) -> None:
    """Begins a rerank, which only events tell of. What the reranker asks of a model hangs below it."""
    above = calls(id_)
    query = _describe.text_of(getattr(event, "query", None))
    given = {"query": query, "nodes": len(getattr(event, "nodes", ())), "top_n": getattr(event, "top_n", None)}
    span = ironspan.span(getattr(event, "model_name", None) or "rerank", kind="rerank", input=given)
    call = Call(_rerank_key(id_), above.key if above is not None else None, span, _core._current_span_id())
    call.kind, call.entered = "rerank", True
    span.__enter__()
    RUNS.open(call)


def close_rerank(id_: str, nodes: Any = None) -> None:
    """Ends the rerank that was begun inside a call, if there is one."""
    call = calls(_rerank_key(id_))
    if call is None:
        return
    RUNS.close(call.key)
    try:
        if nodes is not None and isinstance(call.span, Span):
            call.span.documents(nodes)
    finally:
        _leave(call)
        RUNS.finish(call)


def _rerank_key(id_: str) -> str:
    return f"{id_}/rerank"


def _write_result(call: Call, result: Any) -> None:
    span = call.span
    if not isinstance(span, Span) or result is None:
        return
    if call.kind == "generation":
        span.output(result)
    elif call.kind == "retrieval":
        span.documents(result)
    elif call.kind == "embedding":
        _write_vectors(span, result)
    elif call.kind == "tool":
        _write_tool_output(span, result)
    else:
        _write_response(span, result)


def _write_vectors(span: Span, result: Any) -> None:
    vector = result[0] if isinstance(result, list) and result and isinstance(result[0], list) else result
    if isinstance(vector, list):
        span.set("gen_ai.embeddings.dimension.count", len(vector))


def _write_tool_output(span: Span, result: Any) -> None:
    content = getattr(result, "content", result)
    span.output(content)
    if getattr(result, "is_error", False):
        span.error(str(content))


def _write_response(span: Span, result: Any) -> None:
    """The answer of an engine or a workflow. A stream is not read: it is the user's to read."""
    stream = vars(result).get("response_gen") if hasattr(result, "__dict__") else None
    if inspect.isgenerator(stream) or inspect.isasyncgen(stream):
        frame = _core._capture()
        if frame is not None:
            carried: Any = _carried if inspect.isgenerator(stream) else _carried_async
            result.response_gen = carried(stream, frame)
        return
    if inspect.isgenerator(result) or inspect.isasyncgen(result) or "Streaming" in type(result).__name__:
        return
    for name in ("response", "result"):
        if (answer := getattr(result, name, None)) is not None:
            span.output(getattr(answer, "response", answer))
            return
    span.output(result)


def _carried(stream: Generator[Any, Any, Any], frame: Any) -> Generator[Any, None, None]:
    """`stream`, with what it opens placed where it was made: a model is asked only when the first token is read."""
    try:
        while True:
            with frame:
                try:
                    item = next(stream)
                except StopIteration:
                    return
            yield item
    finally:
        stream.close()


async def _carried_async(stream: AsyncGenerator[Any, None], frame: Any) -> AsyncGenerator[Any, None]:
    """Likewise."""
    try:
        while True:
            with frame:
                try:
                    item = await anext(stream)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        await stream.aclose()


def _is_workflow(instance: Any) -> bool:
    return any(step.__name__ == "Workflow" for step in type(instance).__mro__)


def _count(instance: Any, name: str) -> int | None:
    value = getattr(instance, name, None)
    return value if isinstance(value, int) else None


def _tools(tools: Any) -> list[Any] | None:
    return tools if isinstance(tools, list) else None
