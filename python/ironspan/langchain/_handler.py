"""The callback handler: each callback of LangChain becomes a start, a fact or an end of a span.

Built on `BaseCallbackHandler`, not on `BaseTracer`: the tracer keeps a second tree of run objects and costs about a
millisecond a request. The handler holds no state of its own, runs live in `ironspan._runs`; so it may be shared by
threads and event loops, passed globally and per call at once, copied and pickled. `run_inline` keeps asynchronous
managers from moving callbacks to a thread, where neither order nor context would be right.

Values are handed over as they are; the Rust side walks them and makes GenAI messages of LangChain's off this thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ironspan import Span, _calls, _core, _versions
from ironspan._guard import harmless
from ironspan._runs import RUNS, Run
from ironspan.langchain import _ambient, _describe, _graph, _handoffs, _interrupts, _model, _nodes, _state

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
else:
    BaseCallbackHandler = _versions.take("langchain-core", "langchain_core.callbacks", "BaseCallbackHandler")

__all__ = ["CallbackHandler"]

_NOTHING: dict[str, Any] = {}


class CallbackHandler(BaseCallbackHandler):
    """Records LangChain and LangGraph runs as spans.

    Pass one instance wherever LangChain takes callbacks: ``config={"callbacks": [CallbackHandler()]}`` for a call, or a
    model's, tool's or chain's own ``callbacks``. Works for ``invoke``, ``batch``, ``stream`` and their asynchronous
    forms, for any number of runs at once. No method raises.

    Args:
        full_state: Whether the input of every LangGraph node is the whole state. By default it is what no earlier step
            of the graph's run was given; ``ironspan.state.unchanged`` names the rest.
    """

    run_inline = True
    raise_error = False
    #: For classes that derive from this one and do not call its constructor.
    full_state = False

    def __init__(self, *, full_state: bool = False) -> None:
        self.full_state = full_state

    @property
    def open_runs(self) -> int:
        """Runs that have begun and not ended, over all handlers of the process."""
        return len(RUNS)

    def __reduce__(self) -> tuple[Callable[[], CallbackHandler], tuple[()]]:
        return (partial(type(self), full_state=self.full_state), ())

    def __deepcopy__(self, memo: dict[int, Any]) -> CallbackHandler:
        return type(self)(full_state=self.full_state)

    # Chains, graphs, nodes, agents

    @harmless
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        name = _describe.name_of(serialized, kwargs.get("name"), "chain")
        # Every kind of runnable brings its runs here; only a chain at the top is a workflow.
        verb = "workflow" if kwargs.get("run_type") in (None, "chain") else "span"
        if _graph.is_loaded():
            _nodes.begin(verb, name, run_id, parent_run_id, tags, metadata, inputs, self.full_state)
        else:
            RUNS.begin(verb, name, run_id, parent_run_id, tags, metadata, input=inputs)

    @harmless
    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        run = RUNS.close(run_id)
        if run is not None:
            try:
                was_graph = _state.forget(run.key)
                if run.owns:
                    _late_input(run, kwargs)
                    _span(run).output(_state.plain(outputs))
                    _handoffs.end(run, outputs)
                    if was_graph:
                        _interrupts.keep(run)
            finally:
                RUNS.finish(run, "interrupted" if run.interrupted else "ok")

    @harmless
    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        _fail(run_id, error, kwargs)

    # Models

    @harmless
    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._generation(serialized, messages, "chat", run_id, parent_run_id, tags, metadata, kwargs)

    @harmless
    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._generation(serialized, prompts, "llm", run_id, parent_run_id, tags, metadata, kwargs)

    def _generation(
        self,
        serialized: Any,
        prompts: Any,
        kind: str,
        run_id: Any,
        parent_run_id: Any,
        tags: Any,
        metadata: Any,
        kwargs: dict[str, Any],
    ) -> None:
        given = kwargs.get("invocation_params")
        params = given if isinstance(given, dict) else _NOTHING
        known = metadata if isinstance(metadata, dict) else _NOTHING
        name = _describe.name_of(serialized, kwargs.get("name"), "model")
        one = isinstance(prompts, list) and len(prompts) == 1
        model = _model.model_of(known, params, serialized, name)
        if (outer := _calls.wrapper("langchain")) is not None and isinstance(outer.span, Span):
            _join(outer, model, run_id, parent_run_id)
            return
        run = RUNS.begin(
            "generation",
            model,
            run_id,
            parent_run_id,
            tags,
            metadata,
            messages=prompts[0] if one else prompts,
            params=_model.params_of(known, params, kind),
        )
        if run is not None:
            _calls.asks("langchain", run)

    def on_llm_new_token(self, token: Any = "", *_: Any, run_id: Any = None, chunk: Any = None, **kwargs: Any) -> None:
        # Called for every token, and nearly always this is all there is to do; hence not through `harmless`. The
        # defaults are there because a call that does not fit raises before the first line.
        try:
            if RUNS.chunk(run_id):
                return
        except Exception:
            # An id that is none: looked at below, where a failure is counted.
            pass
        self._first_token(token, run_id, chunk)

    @harmless
    def _first_token(self, token: Any, run_id: Any, chunk: Any) -> None:
        run = RUNS.get(run_id)
        if run is None:
            return
        # A first chunk may carry a role and no content; what a reader waits for is content.
        if not run.content_seen and (token or getattr(getattr(chunk, "message", None), "tool_call_chunks", None)):
            run.content_seen = True
            _span(run)._first_chunk()
        run.settled = not _model.watches_usage(run, chunk) and run.content_seen

    @harmless
    def on_stream_event(self, event: Any, *, run_id: Any, **kwargs: Any) -> None:
        if isinstance(event, dict) and event.get("event") == "content-block-delta" and not RUNS.chunk(run_id):
            run = RUNS.get(run_id)
            if run is not None:
                run.content_seen = run.settled = True
                _span(run)._first_chunk()

    @harmless
    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        run = RUNS.close(run_id)
        if run is not None:
            try:
                _answer(run, response)
            finally:
                RUNS.finish(run)

    @harmless
    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        _fail(run_id, error, kwargs)

    # Tools

    @harmless
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        own = serialized if isinstance(serialized, dict) else _NOTHING
        description = own.get("description")
        call_id = kwargs.get("tool_call_id")
        RUNS.begin(
            "tool",
            _describe.name_of(serialized, own.get("name"), kwargs.get("name") or "tool"),
            run_id,
            parent_run_id,
            tags,
            metadata,
            arguments=input_str if inputs is None else inputs,
            call_id=call_id if isinstance(call_id, str) else None,
            description=description if isinstance(description, str) else None,
        )

    @harmless
    def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
        run = RUNS.close(run_id)
        if run is not None:
            try:
                span = _span(run)
                call_id = getattr(output, "tool_call_id", None)
                if isinstance(call_id, str) and call_id:
                    # Before langchain-core 1.0 only the result knows which call it answers.
                    span.set("gen_ai.tool.call.id", call_id)
                span.output(_state.plain(output) if call_id is None else getattr(output, "content", output))
                if getattr(output, "status", None) == "error":
                    # The tool failed and was told to answer the model with its error.
                    span.error(str(getattr(output, "content", "tool error")))
            finally:
                RUNS.finish(run)

    @harmless
    def on_tool_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        _fail(run_id, error, kwargs)

    # Retrievers

    @harmless
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        source = _describe.name_of(serialized, kwargs.get("name"), "retriever")
        run = RUNS.begin("retrieval", query, run_id, parent_run_id, tags, metadata, source=source)
        if run is not None:
            _ambient.enter_body(run)

    @harmless
    def on_retriever_end(self, documents: Any, *, run_id: Any, **kwargs: Any) -> None:
        run = RUNS.close(run_id)
        if run is not None:
            try:
                _span(run).documents(documents)
            finally:
                RUNS.finish(run)

    @harmless
    def on_retriever_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        _fail(run_id, error, kwargs)

    # Facts along the way

    @harmless
    def on_retry(self, retry_state: Any, *, run_id: Any, **kwargs: Any) -> None:
        def record(span: Span) -> None:
            outcome = getattr(retry_state, "outcome", None)
            error = outcome.exception() if outcome is not None and outcome.failed else None
            attempt = getattr(retry_state, "attempt_number", 0)
            span.event("retry", level="warning", attempt=attempt, error="" if error is None else type(error).__name__)

        _note(run_id, record)

    @harmless
    def on_agent_action(self, action: Any, *, run_id: Any, **kwargs: Any) -> None:
        _note(run_id, lambda span: span.event("agent.action", tool=str(getattr(action, "tool", ""))))

    @harmless
    def on_agent_finish(self, finish: Any, *, run_id: Any, **kwargs: Any) -> None:
        """The end of the agent's chain says the same, with the outputs."""

    @harmless
    def on_text(self, text: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Text is for handlers that print."""

    @harmless
    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        _note(run_id, lambda span: span.event(str(name), data=data))


def _join(outer: Run, model: str, run_id: Any, parent_run_id: Any) -> None:
    """Enters a model's run that another framework's call stands for: what it tells goes to that call's span."""
    if RUNS.get(run_id) is None:
        run = Run(run_id, parent_run_id, outer.span, _core._current_span_id())
        run.owns = False
        _span(outer).set("gen_ai.request.model", model)
        _calls.join(run.key, outer)
        RUNS.open(run, run_id)


def _span(run: Run) -> Span:
    # Open runs hold spans, ended ones contexts.
    return cast("Span", run.span)


def _note(run_id: Any, record: Callable[[Span], object]) -> None:
    run = RUNS.get(run_id)
    if run is not None and isinstance(run.span, Span):
        record(run.span)


def _late_input(run: Run, kwargs: dict[str, Any]) -> None:
    # A chain that streams its input knows it only at the end.
    if kwargs.get("inputs") is not None:
        _span(run).input(kwargs["inputs"])


def _answer(run: Run, response: Any) -> None:
    """What a model returned, in whole or in part."""
    span = _span(run)
    if run.chunks:
        span.set("gen_ai.request.stream", True)
        span._chunks(run.chunks)
    if run.usage_repeats:
        _model.say_usage(span, run.usage)
    if not run.owns and _calls.answered(run.key) is None:
        return
    if not _calls.take_answered(run.key):
        span.output(_model.answer_of(response))


def _fail(run_id: Any, error: BaseException, kwargs: dict[str, Any]) -> None:
    run = RUNS.close(run_id)
    if run is None:
        return
    outcome = _describe.outcome_of(error)
    try:
        was_graph = _state.forget(run.key)
        if outcome == "interrupted":
            _interrupts.mark_above(run)
        elif outcome == "error":
            _state.failed(run, RUNS.get(run.parent))
        if not run.owns:
            _calls.unanswered(run.key)
            return
        _late_input(run, kwargs)
        if kwargs.get("response") is not None or run.chunks:
            _answer(run, kwargs.get("response"))
        if outcome == "error":
            _span(run).error(error)
        elif outcome in ("interrupted", "ok"):
            said = error.args[0] if error.args else None
            _span(run).output(_state.plain(said))
            _handoffs.end(run, said)
        if was_graph:
            _interrupts.keep(run)
    finally:
        RUNS.finish(run, "ok" if outcome == "error" else outcome)
