"""The span handler: each call that LlamaIndex's dispatcher announces is started, entered, left and ended here.

The dispatcher calls `span_enter` and `span_exit` in the context of the code between them, so a call's span is made
current for that time, and whatever the code opens hangs below it. Two kinds of calls outlive their exit: a workflow's
`run` returns a handler, and a model's stream returns a generator. The first is never made current, because its caller
goes on with other things; its steps find it by the id that the dispatcher hands on. The second is left at the exit and
ended by the event that closes the stream, or when the generator goes away.
"""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import ironspan
from ironspan import Span, _calls, _core, _versions
from ironspan._guard import harmless
from ironspan._runs import RUNS
from ironspan.llamaindex import _describe, _wrapped
from ironspan.llamaindex._call import (
    WRAPPING,
    Call,
    around,
    begin_turn,
    calls,
    close_rerank,
    close_turn,
    fail,
    leave,
    parent_in,
    say_last,
)
from ironspan.llamaindex._results import write_result

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.llms.base import BaseLLM
    from llama_index.core.chat_engine.types import BaseChatEngine
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.question_gen.types import BaseQuestionGenerator
    from llama_index.core.response_synthesizers.base import BaseSynthesizer
    from llama_index.core.schema import TransformComponent
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
    BaseNodePostprocessor = _take("postprocessor.types", "BaseNodePostprocessor")
    BaseQuestionGenerator = _take("question_gen.types", "BaseQuestionGenerator")
    BaseSynthesizer = _take("response_synthesizers.base", "BaseSynthesizer")
    TransformComponent = _take("schema", "TransformComponent")
    BaseTool = _take("tools.types", "BaseTool")

__all__ = ["Spans"]


_POSTPROCESS = frozenset({"_postprocess_nodes", "_apostprocess_nodes"})


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
            call.watch = weakref.ref(result, partial(_dropped, id_))
            leave(call)
            return
        RUNS.close(id_)
        if call.limit is not None and result is None and not call.stopped and not call.cancelled:
            self._broke_off(call)
            return
        outcome = "cancelled" if call.cancelled else "ok"
        try:
            close_rerank(id_)
            close_turn(call, outcome)
            _wrapped.answer(call.key, result)
            if call.owns and isinstance(call.span, Span) and not _calls.take_answered(call.key):
                write_result(call.kind, call.span, result)
            if (run := calls(call.parent)) is not None and run.limit is not None:
                run.stopped = run.stopped or _describe.is_a(result.__class__, "StopEvent")
        finally:
            leave(call)
            RUNS.finish(call, outcome)

    @staticmethod
    def _broke_off(run: Call) -> None:
        """Ends a run that ended without a result. Before version 2 workflows do not tell why, but their steps did."""
        error = run.failure
        if error is None and run.limit is not None and time.monotonic() >= run.limit:
            error = TimeoutError("the workflow's time was up")
        try:
            close_turn(run, "cancelled" if error is None else "ok", error)
        finally:
            fail(run, error)

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
            close_turn(call, error=err)
            if (run := calls(call.parent)) is not None and run.limit is not None:
                run.failure = err if isinstance(err, Exception) and _describe.ending_of(err) is None else None
        finally:
            leave(call)
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
        self.owner = owner.rpartition(".")[2]
        self.kind: type = type(instance)
        self.base = _core._current_span_id()
        if instance is not None and not isinstance(instance, type):
            # The first versions put the class that defines the method into the id.
            self.owner = type(instance).__name__
        above = calls(parent_id)
        #: The event that it handles, for the step of a workflow.
        self.event = _describe.event_of(bound) if above is None or above.limit is not None else None
        self.above = around(parent_id, is_step=self.event is not None)
        self.parent = parent_in(self.above, self.base)

    def go(self) -> None:
        """Starts the span, makes it current and enters the call."""
        made = self.make()
        call = self.call(made)
        if made is None:
            self.hide(call)
            return
        call.kind = made.kind
        if call.kind == "span" and isinstance(self.instance, TransformComponent | BaseNodePostprocessor):
            call.kind = "transform"
        if self.is_run:
            call.limit = time.monotonic() + (getattr(self.instance, "_timeout", None) or float("inf"))
            made.start()
        else:
            call.entered = True
            made.__enter__()
        RUNS.open(call)
        if call.kind == "generation":
            _calls.asks("llamaindex", call)
        if self.is_run:
            # Before version 2 the end of a run is told by its handler, if the loop lives long enough to tell it.
            call.watch = weakref.ref(self.bound, partial(_gone, self.id))

    def call(self, span: Any) -> Call:
        call = Call(self.id, self.above.key if self.above is not None else None, span, self.base)
        call.agent = self.above.agent if self.above is not None else None
        call.owner = self.owner
        call.acts = _describe.acts_of(self.kind, self.method)
        return call

    def hide(self, call: Call) -> None:
        """Enters a call that is not shown: what is below it hangs below what it would have hung below itself."""
        call.owns = False
        event = self.event
        run = self.above
        if run is not None and run.kind == "workflow" and self.is_agent_step:
            begin_turn(run, getattr(event, "current_agent_name", None), event)
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
        if self.method not in _describe.AGENT_STEPS or self.event is None:
            return False
        # Newer versions tell the class that defines a step, older ones bring the object.
        classes = {self.owner} if self.instance is None else {step.__name__ for step in type(self.instance).__mro__}
        return not classes.isdisjoint(_describe.AGENT_CLASSES)

    @property
    def is_run(self) -> bool:
        """Whether it is the run of a workflow."""
        return self.method == "run" and _describe.is_a(self.kind, "Workflow")

    @property
    def is_job(self) -> bool:
        """Whether it is LlamaIndex's helper that runs coroutines side by side."""
        return self.instance is None and self.id.startswith(("run_jobs-", "run_jobs.<locals>."))

    def make(self) -> Span | None:
        """The span for this call; `None` when it is not to be shown."""
        instance, bound, common = self.instance, self.bound, self.common()
        if isinstance(instance, BaseNodePostprocessor) and self.method in _POSTPROCESS:
            return self.postprocessor(instance, common)
        if self.is_agent_step or self.is_job or _describe.is_hidden(self.method, self.kind):
            return None
        if isinstance(instance, BaseLLM) or _describe.is_a(self.kind, "MultiModalLLM"):
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
            if (told := self.told("retrieval", query)) is not None:
                told.set("gen_ai.data_source.id", self.owner)
                return None
            return ironspan.retrieval(query, source=self.owner, top_k=_count(instance, "similarity_top_k"), **common)
        if isinstance(instance, BaseTool):
            return self.tool(instance, common)
        if isinstance(instance, BaseQueryEngine | BaseChatEngine | BaseSynthesizer):
            return self.engine(common)
        if self.is_run:
            return self.run(instance, common)
        if isinstance(instance, TransformComponent | BaseQuestionGenerator):
            return self.part(common)
        if _describe.is_a(self.kind, "IngestionPipeline") or _describe.is_a(self.kind, "QueryPipeline"):
            start = ironspan.span if self.above is not None else ironspan.workflow
            return start(self.owner, input=_given(bound), **common)
        name = self.method if self.instance is None and self.owner == "" else f"{self.owner}.{self.method}"
        if self.event is not None:
            # A step of a workflow is known by its name; its events are what goes in and out.
            return ironspan.span(self.method, input=_describe.fields_of(self.event), **common)
        return ironspan.span(self.owner if self.method == "__call__" else name, **common)

    def common(self) -> dict[str, Any]:
        return {} if self.parent is None else {"parent": self.parent}

    def is_inside(self, kind: str) -> bool:
        """Whether the nearest call that is shown is of that kind: a model that calls itself is asked once."""
        for above in RUNS.ancestry(self.above) if self.above is not None else ():
            if isinstance(above, Call) and above.owns:
                return above.kind == kind
        return False

    def is_inside_itself(self) -> bool:
        """Whether the nearest call that is shown is one of the same class: its methods call each other."""
        for above in RUNS.ancestry(self.above) if self.above is not None else ():
            if isinstance(above, Call) and above.owns:
                return above.owner == self.owner
        return False

    def told(self, kind: str, what: Any) -> Span | None:
        """The span of this very act, where the old `CallbackManager` told of it just before."""
        if not WRAPPING or (call := WRAPPING.get(self.base)) is None:
            return None
        if call.kind != kind or call.metadata is None or call.metadata.get("what") != what:
            return None
        WRAPPING.pop(self.base, None)
        return call.span if isinstance(call.span, Span) else None

    def engine(self, common: dict[str, Any]) -> Span | None:
        if self.method not in _describe.ENGINE_CALLS:
            return None
        given = self.bound.arguments.items()
        asked = next((v for k, v in given if k in ("str_or_query_bundle", "message", "query")), None)
        asked = ironspan.UNSET if asked is None else _describe.text_of(asked)
        if _describe.is_a(self.kind, "BaseAgent"):
            # The agents of older versions.
            if self.is_inside_itself():
                return None
            return ironspan.agent(self.owner, input=asked, **common)
        start = ironspan.span if self.above is not None else ironspan.workflow
        return start(self.owner, input=asked, **common)

    def part(self, common: dict[str, Any]) -> Span | None:
        """A transformation of nodes, or a generator of sub-questions: known by its class, however it is called."""
        if self.is_inside_itself():
            return None
        return ironspan.span(self.owner, input=_given(self.bound), **common)

    def postprocessor(self, instance: Any, common: dict[str, Any]) -> Span | None:
        if self.is_inside_itself():
            return None
        nodes = _describe.argument(self.bound, "nodes")
        given = {
            "query": _describe.text_of(_describe.argument(self.bound, "query_bundle", 1)),
            "nodes": len(nodes) if isinstance(nodes, list) else None,
            "top_n": _count(instance, "top_n"),
        }
        given = {name: value for name, value in given.items() if value is not None}
        return ironspan.span(
            self.owner, kind="rerank" if "rank" in self.owner.lower() else "span", input=given, **common
        )

    def generation(self, common: dict[str, Any]) -> Span | None:
        if self.method not in _describe.LLM_CALLS or self.is_inside("generation"):
            return None
        if _describe.is_a(self.kind, "StructuredLLM") or _wrapped.passes_on(self.id, self.instance):
            # It asks another model, whose call is announced as well.
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
        if self.is_inside("tool") or _describe.is_output_tool(tool):
            return None
        name = str(getattr(tool.metadata, "name", None) or self.owner)
        if self.told("tool", name) is not None:
            return None
        return ironspan.tool(
            name,
            arguments=_describe.tool_arguments(self.bound),
            call_id=self.above.call_id if self.above is not None else None,
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


@harmless
def _gone(key: Hashable, _arguments: weakref.ref[Any]) -> None:
    """Ends a run whose end was not told."""
    if (run := calls(key)) is not None:
        RUNS.close(key)
        outcome = "ok" if run.stopped else "cancelled"
        try:
            close_turn(run, outcome)
        finally:
            RUNS.finish(run, outcome)


@harmless
def _dropped(key: Hashable, _stream: weakref.ref[Any]) -> None:
    """Ends a generation whose stream went away. The stream tells of its end itself, but only after this."""
    if (call := calls(key)) is not None:
        RUNS.close(key)
        try:
            say_last(call)
        finally:
            RUNS.finish(call, "cancelled")


def _given(bound: inspect.BoundArguments) -> Any:
    """The arguments of a call as its input; of documents and nodes their number, for they are whole texts."""
    given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
    shown = {
        name: len(value) if name in ("documents", "nodes") and isinstance(value, list | tuple) else value
        for name, value in given.items()
        if name not in ("args", "kwargs", "show_progress", "metadatas") and value is not None
    }
    return shown or ironspan.UNSET


def _count(instance: Any, name: str) -> int | None:
    value = getattr(instance, name, None)
    return value if isinstance(value, int) else None


def _tools(tools: Any) -> list[Any] | None:
    return tools if isinstance(tools, list) else None
