"""Types and documentation of the native part of ironspan. Written by hand; stubtest compares it with the built module.

What is public is exported by ``ironspan``; import it from there. Names with an underscore belong to this package and
change without notice. No function here raises at run time because of what it is given to record: a value that cannot
be read is recorded as its type's name, a fault is counted in ``stats()["internal_errors"]``. Wrong Python calls (an
unknown keyword, a missing argument) raise ``TypeError`` as everywhere.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, final, overload, type_check_only

from typing_extensions import Self, disjoint_base

__all__ = [
    "RUNS",
    "UNSET",
    "Attachment",
    "MemoryStore",
    "Report",
    "Run",
    "RunTable",
    "Span",
    "SpanContext",
    "_Served",
    "_StoreReader",
    "__version__",
    "_after_fork_in_parent",
    "_at_exit",
    "_before_fork",
    "_capture",
    "_count_internal_error",
    "_current_span_id",
    "_follow_langchain",
    "_innermost_run",
    "_restore_context",
    "_restore_span",
    "_set_clock",
    "_set_incremental_ids",
    "_thread_propagation",
    "agent",
    "attach",
    "command",
    "configure",
    "current",
    "embedding",
    "environment",
    "extract",
    "flush",
    "generation",
    "inject",
    "retrieval",
    "scope",
    "shutdown",
    "span",
    "stats",
    "tool",
    "workflow",
]

_T = TypeVar("_T")
_Carrier = TypeVar("_Carrier")
#: What a span can decorate: the decorated object keeps its type.
_Function = TypeVar("_Function", bound=Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any])

_Kind: TypeAlias = Literal[
    "span",
    "workflow",
    "agent",
    "generation",
    "retrieval",
    "embedding",
    "rerank",
    "tool",
    "evaluator",
    "guardrail",
]
_OtelKind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]
#: A span of this process, the context of any span, or the text of a ``traceparent`` header.
_Target: TypeAlias = Span | SpanContext | str
_Links: TypeAlias = Iterable[_Target | tuple[_Target, str | None]]
_Outcome: TypeAlias = Literal["ok", "error", "cancelled", "interrupted", "abandoned"]

__version__: str
"""Version of the package."""

UNSET: Any
"""The value of an argument that was not given, where ``None`` is a value of its own. It is false."""

@final
class Span:
    """One step of a run: a context manager, a decorator, or a handle for ``start()`` and ``end()``.

    Made by the verbs (``span``, ``agent``, ``generation`` and so on). It starts when it is entered, when a decorated
    call begins, or at ``start()``, never when it is made. It ends once; what is written to it later is ignored and
    counted in ``stats()["late_calls"]``. Methods that write return the span, so that they chain. They may be called
    from any thread. Dropped without an end, it is exported with the status ``abandoned``.

    As a decorator it serves functions, coroutine functions, generators, async generators and methods; each call is a
    span of its own with the same name and payloads. A class raises ``TypeError``.

    Values may be anything: text, numbers, ``bytes``, lists, tuples, sets, dicts, dataclasses, pydantic models and
    messages of the frameworks are copied with their structure when the method is called; later changes are not seen.
    One span holds 16 MiB at most; what comes after that is left out and counted on the span.
    """

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; all zero before the start. Source: W3C Trace Context, trace-id."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits; all zero before the start. Source: W3C Trace Context, parent-id."""

    @property
    def name(self) -> str:
        """The name as given, without the operation that the wire puts before it (``chat gpt-4o``)."""

    @property
    def kind(self) -> _Kind:
        """What the step is."""

    @property
    def recording(self) -> bool:
        """Whether it has started, has not ended, and is kept by sampling and wanted by a destination."""

    @property
    def context(self) -> SpanContext:
        """Its identity, to be a parent or a link elsewhere; not valid before the start."""

    def set(self, key: str, value: object, /) -> Self:
        """Sets an attribute; the last value of a key counts. Seed names such as ``llm.prompt_tokens`` are mapped."""

    def update(self, values: Mapping[str, Any], /) -> Self:
        """Sets each pair of ``values`` as an attribute."""

    def input(self, value: object, /) -> Self:
        """What the step was given. For a generation or an agent: messages, in the shape of any provider or framework.

        Source: GenAI semantic conventions, ``gen_ai.input.messages`` and ``gen_ai.tool.call.arguments``.
        """

    def output(self, value: object, /) -> Self:
        """What came of the step. A provider's response object is read for messages, usage and finish reason, too.

        Source: GenAI semantic conventions, ``gen_ai.output.messages`` and ``gen_ai.tool.call.result``.
        """

    def event(self, name: str, /, level: str | None = None, **attributes: object) -> Self:
        """Adds an event, timed now.

        Args:
            name: What happened.
            level: ``info`` when not given.
            **attributes: Attributes of the event; at most 128 by default.
        """

    def error(self, error: BaseException | str, /) -> Self:
        """Sets the status ``error`` and records an exception (class, message, stack, causes) or a message.

        An exception that leaves a ``with`` block or a decorated function is recorded by itself. Source: OpenTelemetry
        semantic conventions, exceptions.
        """

    def tag(self, *names: str, **pairs: object) -> Self:
        """Adds tags: words, and ``key=value`` for each pair."""

    def link(self, target: _Target, /, role: str | None = None) -> Self:
        """Links to another span. A target that is none is counted as an internal error.

        Args:
            target: A span, a context, or the text of a ``traceparent``.
            role: What the other span is to this one, such as ``handoff``.
        """

    def usage(
        self,
        *,
        input: int | None = None,
        output: int | None = None,
        cached: int | None = None,
        cache_write: int | None = None,
        reasoning: int | None = None,
    ) -> Self:
        """Token counts of a model call. Only what is given is written.

        Args:
            input: All input tokens, cached ones included.
            output: All output tokens, reasoning included.
            cached: Those of ``input`` that were read from a cache.
            cache_write: Those of ``input`` that were written to a cache.
            reasoning: Those of ``output`` that the model thought with.

        Source: GenAI semantic conventions, ``gen_ai.usage.*``.
        """

    def cost(self, *, total: float) -> Self:
        """What the step cost, in US dollars: readers of ``gen_ai.usage.cost`` take it so."""

    def finish(self, reason: str | None, /) -> Self:
        """Why the model stopped, in a provider's or the conventions' words; ``None`` does nothing.

        Source: GenAI semantic conventions, ``gen_ai.response.finish_reasons``.
        """

    def documents(self, documents: object, /) -> Self:
        """What a retrieval found: documents, nodes or dicts of a framework, or pairs of document and score.

        Source: GenAI semantic conventions, ``gen_ai.retrieval.documents``.
        """

    @overload
    def stream(self, iterable: AsyncIterable[_T], /) -> AsyncIterator[_T]: ...
    @overload
    def stream(self, iterable: Iterable[_T], /) -> Iterator[_T]:
        """Passes a stream through, the very same objects, and notes the time of the first chunk, count and content.

        What came through becomes the output when the stream ends: joined where it is text (up to 4,000,000
        characters), assembled where chunks are a provider's (up to 1,000). Dropped half-way, the span becomes
        ``cancelled`` and keeps what it had. The span must be open meanwhile. Attributes of the stream stay reachable.

        Source: GenAI semantic conventions, ``gen_ai.response.time_to_first_chunk``.
        """

    def start(self, time: int | None = None) -> Self:
        """Starts the span without making it current. The second time does nothing.

        Args:
            time: Unix nanoseconds; now when not given, or (with a mark on the span) when it is no integer.
        """

    def end(self, time: int | None = None) -> None:
        """Ends the span and hands it on; never waits. The second time does nothing but count.

        Args:
            time: Unix nanoseconds; now when not given, or (with a mark on the span) when it is no integer. An end
                before the start counts as the start.
        """

    def __call__(self, function: _Function, /) -> _Function:
        """As a decorator: each call of ``function`` becomes a span like this one.

        Raises:
            TypeError: ``function`` is a class or cannot be called.
        """

    def __enter__(self) -> Self:
        """Starts the span, unless it has started, and makes it current."""

    def __exit__(
        self,
        type: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Literal[False]:
        """Ends the span and makes current what was current before. An exception is recorded and goes on."""

    def __aenter__(self) -> Awaitable[Self]:
        """As ``__enter__``; never suspends."""

    def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Awaitable[None]:
        """As ``__exit__``; never suspends."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Spans do not travel: unpickled elsewhere, it is what is current there."""

    def _again(self) -> Span: ...
    def _first_chunk(self) -> None: ...
    def _leave(self) -> None: ...
    def _chunks(self, count: int) -> None: ...
    def _keep_stream(self, tally: Any, /) -> None: ...
    def __copy__(self) -> Span: ...
    def __deepcopy__(self, _memo: Any, /) -> Span: ...
    def _broke(self, error: BaseException, /) -> None: ...
    def _mark(self, outcome: _Outcome | str, /) -> None: ...
    def _end_as(self, outcome: _Outcome | str, /) -> None: ...

@final
class SpanContext:
    """Identity of a span, with the baggage that travels along: what a carrier holds.

    Contexts are equal when all of that is, ``remote`` included. True when valid. Pickles as its W3C headers, and so
    arrives as remote. Source: W3C Trace Context; OpenTelemetry specification, SpanContext.
    """

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; all zero when not valid."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits; all zero when not valid."""

    @property
    def sampled(self) -> bool:
        """Whether the sender keeps the trace. Source: W3C Trace Context, sampled flag."""

    @property
    def remote(self) -> bool:
        """Whether it came from another process."""

    @property
    def is_valid(self) -> bool:
        """Whether neither id is zero."""

    @property
    def traceparent(self) -> str | None:
        """The text of the header ``traceparent``; ``None`` when not valid."""

    @property
    def tracestate(self) -> str | None:
        """The text of the header ``tracestate``; ``None`` when there is none."""

    @property
    def baggage(self) -> dict[str, str]:
        """Names and values, decoded; a copy. Source: W3C Baggage."""

    def __bool__(self) -> bool: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Attachment:
    """A context manager that makes a scope or a remote parent current. Made by ``scope()`` and ``attach()``."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> Literal[False]: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(self, *_exception: object) -> Awaitable[None]: ...

@final
class Report:
    """What ``flush()`` or ``shutdown()`` found: counts of spans of this process so far.

    True when the time sufficed and nothing was pending, rejected or dropped by then. Always
    ``created == delivered + rejected + sum(dropped.values()) + pending`` once no other thread ends spans.
    """

    @property
    def created(self) -> int:
        """Spans that ended."""

    @property
    def delivered(self) -> int:
        """Spans that every destination has accepted."""

    @property
    def rejected(self) -> int:
        """Spans that a receiver refused."""

    @property
    def dropped(self) -> dict[str, int]:
        """Spans lost on this side, by reason; reasons that did not occur are left out. See docs/loss.md."""

    @property
    def pending(self) -> int:
        """Spans on their way."""

    @property
    def in_time(self) -> bool:
        """Whether everything was settled before the timeout."""

    def __bool__(self) -> bool: ...

@type_check_only
class DestinationStats(TypedDict):
    """One destination in ``stats()``. Numbers are spans."""

    accepted: int
    """Handed to this destination."""
    delivered: int
    """Accepted by it."""
    rejected: int
    """Refused by it."""
    dropped: dict[str, int]
    """Lost on this side on the way to it, by reason."""
    pending: int
    """Waiting for it or being sent."""
    health: Literal["unknown", "healthy", "retrying", "paused", "stopped"]
    """How the last attempt went; ``unknown`` before the first, ``paused`` while it refuses our credentials."""
    last_error: str | None
    """What went wrong last, without credentials; ``None`` when nothing did."""

@type_check_only
class Stats(TypedDict):
    """The result of ``stats()``. Numbers are spans unless it is said otherwise."""

    created: int
    """Ended."""
    delivered: int
    """Accepted by every destination."""
    rejected: int
    """Refused by a receiver."""
    dropped: dict[str, int]
    """Lost on this side, by reason: see docs/loss.md."""
    pending: int
    """On their way."""
    open_spans: int
    """Started, not ended, recorded."""
    open_runs: int
    """Runs of frameworks that have begun and not ended."""
    internal_errors: int
    """Faults of ours, and arguments that could not be used."""
    late_calls: int
    """Calls on spans that had ended, and spans made after ``shutdown()``."""
    buffer_bytes: int
    """Bytes of all spans that wait anywhere in the pipeline."""
    destinations: dict[str, DestinationStats]
    """Each destination by its name."""

@final
class MemoryStore:
    """Keeps finished spans. Wrapped by ``ironspan.testing.MemoryExporter``."""

    def __new__(cls) -> Self: ...
    def spans(self) -> list[dict[str, Any]]:
        """All spans so far, as dicts, in the order in which they ended."""

    def resource(self) -> dict[str, Any]:
        """Attributes of the resource; empty before a span has arrived."""

    def clear(self) -> None:
        """Forgets what has arrived."""

@overload
def span(name: _Function, /) -> _Function: ...
@overload
def span(
    name: str,
    *,
    kind: _Kind = "span",
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A step of any kind. Also bare, as ``@ironspan.span``: then named after the function.

    Args:
        name: What the step is called.
        kind: What the step is. Default ``span``.
        input: What the step is given; as ``Span.input()``.
        attributes: Further attributes.
        tags: Words to find it by.
        parent: Its parent: a span, a context, or a ``traceparent``. Default: what is current when it starts.
        links: Other spans it has to do with, each alone or in a pair with its role.
        otel_kind: OpenTelemetry SpanKind, instead of the one that follows from the kind.

    Source: OpenTelemetry specification, Span.
    """

@overload
def workflow(name: _Function, /) -> _Function: ...
@overload
def workflow(
    name: str,
    *,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A run that coordinates agents or steps. Also bare, as ``@ironspan.workflow``: then named after the function.

    Args:
        name: What the workflow is called.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, ``invoke_workflow``.
    """

@overload
def agent(name: _Function, /) -> _Function: ...
@overload
def agent(
    name: str,
    *,
    role: str | None = None,
    description: str | None = None,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """One turn of an agent. Also bare, as ``@ironspan.agent``: then named after the function.

    Args:
        name: Name of the agent.
        role: What the agent is there for.
        description: The same at length.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, ``invoke_agent``.
    """

@overload
def generation(model: _Function, /) -> _Function: ...
@overload
def generation(
    model: str,
    *,
    provider: str | None = None,
    messages: object = ...,
    params: Mapping[str, Any] | None = None,
    tools: object = None,
    prompt: object = None,
    name: str | None = None,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A call of a language model. Also bare, as ``@ironspan.generation``: then named after the function.

    Args:
        model: Name of the model as it is asked for.
        provider: Who serves it: ``openai``, ``anthropic``, ``aws.bedrock``; usual other spellings are mapped.
        messages: What the model is given, in the shape of any provider or framework.
        params: Parameters of the call (``temperature``, ``max_tokens`` ...). Secrets by name are left out.
        tools: Definitions of the tools on offer.
        prompt: Name or template of the prompt.
        name: The whole name on the wire. Default: the operation, and the model where there is one.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, inference spans.
    """

@overload
def retrieval(query: _Function, /) -> _Function: ...
@overload
def retrieval(
    query: str | Mapping[str, Any] | list[Any],
    *,
    source: str | None = None,
    top_k: int | None = None,
    name: str | None = None,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A search for documents. Also bare, as ``@ironspan.retrieval``: then named after the function.

    Args:
        query: What is looked for.
        source: Where: the name of a store or index.
        top_k: How many documents are asked for.
        name: The whole name on the wire. Default: the operation, and the model where there is one.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, retrieval spans.
    """

@overload
def embedding(model: _Function, /) -> _Function: ...
@overload
def embedding(
    model: str,
    *,
    provider: str | None = None,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A call of an embedding model. Also bare, as ``@ironspan.embedding``: then named after the function.

    Args:
        model: Name of the model as it is asked for.
        provider: Who serves it.
        params: Parameters of the call (``dimensions``, ``encoding_format`` ...).
        name: The whole name on the wire. Default: the operation, and the model where there is one.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, embeddings spans.
    """

@overload
def tool(name: _Function, /) -> _Function: ...
@overload
def tool(
    name: str,
    *,
    arguments: object = ...,
    call_id: str | None = None,
    description: str | None = None,
    input: object = ...,
    attributes: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: _Target | None = None,
    links: _Links = (),
    otel_kind: _OtelKind | None = None,
) -> Span:
    """A tool that runs. Also bare, as ``@ironspan.tool``: then named after the function.

    Args:
        name: Name of the tool.
        arguments: What it is called with.
        call_id: The id that the model gave the call.
        description: What the tool does.
        input: As for ``span``.
        attributes: As for ``span``.
        tags: As for ``span``.
        parent: As for ``span``.
        links: As for ``span``.
        otel_kind: As for ``span``.

    Source: GenAI semantic conventions, ``execute_tool``.
    """

def current() -> Span:
    """The span that is current here; one that records nothing when there is none, never ``None``."""

def scope(
    session: str | None = None,
    user: str | None = None,
    tags: str | Iterable[str] | None = None,
    metadata: dict[str, Any] | None = None,
    baggage: dict[str, Any] | None = None,
) -> Attachment:
    """A context manager that says something of every span below it. Scopes add up; the inner value of a name wins.

    Args:
        session: Session or conversation: ``session.id`` and ``gen_ai.conversation.id``.
        user: Whom the run serves: ``user.id``.
        tags: Words; at most 128.
        metadata: Attributes; at most 128.
        baggage: Names and values that travel on to other processes; at most 64. Source: W3C Baggage.
    """

def attach(context: _Target, /) -> Attachment:
    """A context manager that makes a span or a context the parent of what starts below it.

    What is no span is ignored. Nothing is ended on leaving. Source: OpenTelemetry specification, Context, "Attach".
    """

def extract(carrier: object, /) -> SpanContext:
    """Reads a span context and baggage from what another process sent. Nothing in it is trusted, nothing raises.

    Args:
        carrier: A dict, a mapping with ``items()`` or ``multi_items()``, a list of pairs (text or bytes), a message
            with ``headers``, ``os.environ``, or ``None``. At most 10,000 entries are looked at.

    Returns:
        The context; not valid (false) when the carrier has none.

    Source: OpenTelemetry specification, Propagators API, "Extract". Formats: docs/propagation.md.
    """

@overload
def inject(carrier: None = None, /) -> dict[str, str]: ...
@overload
def inject(carrier: _Carrier, /) -> _Carrier:
    """Writes the current context and baggage to ``carrier`` in the configured formats, and returns it.

    Args:
        carrier: A dict or another object with item assignment, a list of pairs (entries of the same name are replaced,
            in the types that the list has), or ``os.environ``. A new dict when not given.

    Source: OpenTelemetry specification, Propagators API, "Inject". Formats: docs/propagation.md.
    """

def environment(base: Mapping[str, str] | None = None, /) -> dict[str, str]:
    """A copy of the process environment, or of ``base``, with the current context in it: for ``subprocess`` and others.

    What an older context left there is taken out. Source: OpenTelemetry specification, "Environment Variables as
    Context Propagation Carriers".
    """

def flush(timeout: float | None = None) -> Report:
    """Sends what is pending and waits until it is settled. Ctrl-C works meanwhile.

    Args:
        timeout: Seconds to wait at most. Default 5. What is not settled by then stays pending.

    Source: OpenTelemetry specification, Tracing SDK, "ForceFlush".
    """

def shutdown(timeout: float | None = None) -> Report:
    """Sends what is pending and ends. Spans made later record nothing; ``init()`` begins anew.

    The end of the program does this by itself.

    Args:
        timeout: Seconds to wait at most. Default: ``shutdown_timeout`` of ``init()``. What is not settled by then is
            dropped and counted.

    Source: OpenTelemetry specification, Tracing SDK, "Shutdown".
    """

def stats() -> Stats:
    """Counts of this process, now. Never waits for a destination. See docs/loss.md."""

def command(
    arguments: list[str],
    /,
    *,
    columns: int | None = None,
    utc_offset: int = 0,
    parquet: Callable[[str | PathLike[str], str | PathLike[str], str, str | None, str | None], tuple[int, int]]
    | None = None,
) -> int:
    """Runs the command ``ironspan`` with the process's standard streams, without the interpreter lock.

    Args:
        arguments: The words, beginning with the program's name.
        columns: Width of the terminal; not used where standard output is none.
        utc_offset: What local time is ahead of UTC, in seconds.
        parquet: Writes a Parquet file: store, file, filter, since, until; says how many traces and spans it has
            written, and raises ``ImportError`` where it cannot for want of a package.

    Returns:
        The exit status: 0 done, 1 nothing found, 2 wrong usage, 3 the store cannot be used.
    """

def configure(options: dict[str, Any], /) -> None:
    """What ``ironspan.init()`` calls.

    Raises:
        ConfigError: An option is wrong.
    """

@disjoint_base
class Run:
    """One run of a callback framework, between the callback that begins it and the one that ends it.

    Args:
        key: The framework's id: any hashable. A UUID is known by its ``int``.
        parent: Key of the run above, known to a table or not.
        span: What stands for the run: a span, or a context.
        base: Id of the span that was current where the run began: 16 hexadecimal digits, zeros for none.
    """

    def __new__(cls, key: object, parent: object, span: Span | SpanContext | None, base: str) -> Self: ...
    @property
    def key(self) -> Any: ...
    @property
    def parent(self) -> Any: ...
    @property
    def base(self) -> str: ...
    #: The run's span, its context after the end. A run that is not shown has the span of the run above.
    span: Span | SpanContext | None
    #: Whether ``span`` stands for this run alone. Default true.
    owns: bool
    #: Name of the agent in whose turn this run takes place.
    agent: str | None
    metadata: dict[str, Any] | None
    #: Whether a run below paused to be resumed later.
    interrupted: bool
    #: Chunks of a model's stream, and whether one of them had content.
    chunks: int
    content_seen: bool
    #: Whether there is nothing more to look for in the chunks of the stream.
    settled: bool
    #: Tokens as the last chunk counted them, and whether each chunk counts all of them again.
    usage: dict[str, Any] | None
    usage_repeats: bool
    #: Kept for as long as the run is open: a weak reference whose callback ends the run.
    watch: Any

@final
class RunTable:
    """The open runs, bounded in number and in idle time, and the contexts of the last 1,024 that ended.

    A run leaves by one of four doors: its end callback; the death of the framework's own run id object, which lives
    exactly as long as the run; the idle limit; the cap. The last three end its span as cancelled or abandoned.

    Args:
        cap: Open runs at most; the quietest eighth is given up when there is no room. Default 10,000.
        idle_seconds: Seconds without a callback after which a run is given up. Default: the configured limit.
        clock: Seconds, as ``time.monotonic``. Default: that of the system.
    """

    def __new__(
        cls, *, cap: int | None = None, idle_seconds: float | None = None, clock: Callable[[], float] | None = None
    ) -> Self: ...
    def __len__(self) -> int: ...
    def get(self, key: object, /) -> Run | None:
        """The open run of that key. Raises ``TypeError`` when it is not hashable."""

    def find(self, key: object, /) -> Run | None:
        """The run of that key, open or one of the last to end."""

    def runs(self) -> list[Run]:
        """The open runs, in no order."""

    def ancestry(self, run: Run, /) -> list[Run]:
        """The run and those above it, nearest first, 1,000 at most."""

    def open(self, run: Run, run_id: object = None, /) -> None:
        """Enters a run that has begun. The death of the object ``run_id`` ends it as cancelled."""

    def begin(
        self,
        verb: str,
        subject: object,
        run_id: object,
        parent_run_id: object,
        tags: object,
        metadata: object,
        /,
        **payload: object,
    ) -> Run | None:
        """Begins a run of LangChain: finds where it belongs, starts its span, enters it.

        Args:
            verb: Name of the function for the span. A ``workflow`` that is no root becomes a ``span``, and both become
                an ``agent`` where the metadata says so, which may also give the agent another name.
            subject: The first argument of that function.
            run_id: The framework's id.
            parent_run_id: The id of the run above.
            tags: The run's tags, in a list, tuple or set.
            metadata: The run's metadata, in a dict.
            payload: Keyword arguments of the function.

        Returns:
            The run; ``None`` when it has begun already, or the framework asks not to show it.
        """

    def above(self, parent_run_id: object, /) -> Run | None:
        """The run below which one begins: that of the id, else the one whose code executes here."""

    def chunk(self, key: object, /) -> bool:
        """Counts a chunk of the run's stream. False as long as the run is not ``settled``."""

    def close(self, key: object, /) -> Run | None:
        """Takes out the run that ended; its span is the caller's to end, by ``finish``."""

    def finish(self, run: Run, outcome: str = "ok", /) -> None:
        """Ends the span of a run that has left the table, and remembers its context.

        Args:
            run: The run.
            outcome: ``ok`` (also for an error that is on the span already), ``cancelled``, ``interrupted``,
                ``abandoned``.
        """

    def sweep(self) -> None:
        """Gives up the runs in which, and below which, nothing happened for the idle limit."""

    def forget(self) -> None:
        """Drops every open run without ending its span: after a fork they are the parent process's to end."""

    def _lost(self, key: object, reference: object, /) -> None: ...

#: The runs of this process.
RUNS: RunTable

@final
class _StoreReader:
    """A store that is read, for `ironspan._store`."""

    def __new__(cls, path: str | None, /) -> Self: ...
    @property
    def path(self) -> str: ...
    def ask(self, question: str, parameters: dict[str, str], /) -> str: ...
    def close(self) -> None: ...

@final
class _Served:
    """The page of a store that is served by this process, for `ironspan._view`."""

    def __new__(cls, store: str | None, port: int, /) -> Self: ...
    @property
    def url(self) -> str: ...
    def stop(self) -> None: ...

def _after_fork_in_parent() -> None: ...
def _at_exit() -> None: ...
def _before_fork() -> None: ...
def _capture() -> Attachment | None: ...
def _restore_span(context: SpanContext) -> Span: ...
def _follow_langchain(config: Any, body: Any, /) -> None: ...
def _innermost_run() -> Run | None: ...
def _current_span_id() -> str: ...
def _count_internal_error(what: object = None, /) -> None: ...
def _restore_context(headers: object) -> SpanContext: ...
def _set_clock(unix_nano: int | None, /) -> None: ...
def _set_incremental_ids(first: int | None, /) -> None: ...
def _thread_propagation() -> bool: ...
