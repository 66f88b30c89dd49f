"""Verbs as decorators: one span a call, and a function that nobody can tell from the one before."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter, tree
from tests.support.processes import run_python


def plain(a: int, /, b: int = 2, *, c: int = 3) -> int:
    """Adds."""
    return a + b + c


async def coroutine(a: int, /, b: int = 2, *, c: int = 3) -> int:
    """Adds."""
    await asyncio.sleep(0)
    return a + b + c


def generator(a: int, /, b: int = 2, *, c: int = 3) -> Generator[int, Any, str]:
    """Counts."""
    yield from (a, b, c)
    return "done"


async def async_generator(a: int, /, b: int = 2, *, c: int = 3) -> AsyncGenerator[int, Any]:
    """Counts."""
    for value in (a, b, c):
        yield value


FUNCTIONS: list[Callable[..., Any]] = [plain, coroutine, generator, async_generator]
PREDICATES = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    asyncio.iscoroutinefunction if not hasattr(inspect, "markcoroutinefunction") else inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
]
DECORATORS = [ironspan.tool, ironspan.tool("named"), ironspan.agent("named", role="r")]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("decorate", DECORATORS, ids=["bare", "called", "with options"])
def test_a_decorated_function_looks_as_before(decorate: Any, function: Callable[..., Any]) -> None:
    decorated = decorate(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert [check(decorated) for check in PREDICATES] == [check(function) for check in PREDICATES]
    assert (decorated.__name__, decorated.__qualname__, decorated.__module__, decorated.__doc__) == (
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
    )
    assert decorated.__wrapped__ is function
    assert decorated.__annotations__ == function.__annotations__


def test_each_call_is_a_span_of_its_own(ironspan_trace: MemoryExporter) -> None:
    decorated = ironspan.tool("add", description="adds")(plain)
    assert (decorated(1), decorated(1, b=5), decorated(1, c=0)) == (6, 9, 3)
    spans = ironspan_trace.spans
    assert [span.name for span in spans] == ["execute_tool add"] * 3
    assert len({span.span_id for span in spans}) == 3
    assert all(span.attributes["gen_ai.tool.description"] == "adds" for span in spans)


def test_a_bare_decorator_takes_the_function_s_name(ironspan_trace: MemoryExporter) -> None:
    for verb in ("span", "workflow", "agent", "tool"):
        assert getattr(ironspan, verb)(plain)(1) == 6
    assert tree(ironspan_trace.spans) == "span plain\nworkflow plain\nagent plain\ntool plain"


def test_the_span_is_current_inside_every_kind_of_function(ironspan_trace: MemoryExporter) -> None:
    @ironspan.agent
    def one() -> str:
        return ironspan.current().name

    @ironspan.agent
    async def two() -> str:
        await asyncio.sleep(0)
        return ironspan.current().name

    @ironspan.agent
    def three() -> Generator[str, None, None]:
        yield ironspan.current().name

    @ironspan.agent
    async def four() -> AsyncGenerator[str, None]:
        yield ironspan.current().name

    async def main() -> list[str]:
        return [await two(), *[name async for name in four()]]

    assert [one(), *three(), *asyncio.run(main())] == ["one", "three", "two", "four"]
    assert not ironspan.current().recording


@pytest.mark.parametrize("function", FUNCTIONS[:2], ids=["plain", "coroutine"])
def test_an_exception_passes_as_it_is_and_is_recorded(
    function: Callable[..., Any], ironspan_trace: MemoryExporter
) -> None:
    decorated = ironspan.tool(function)
    with pytest.raises(TypeError) as caught:
        result = decorated(1, "text")
        asyncio.run(result)
    assert caught.value.__cause__ is None
    done = ironspan_trace.find(f"execute_tool {function.__name__}")
    assert (done.status, done.attributes["error.type"]) == ("error", "TypeError")


def test_methods_of_every_kind_are_decorated(ironspan_trace: MemoryExporter) -> None:
    class Crew:
        factor = 10

        @ironspan.tool
        def method(self, x: int) -> int:
            return self.factor * x

        @ironspan.tool("outer static")
        @staticmethod
        def outer_static(x: int) -> int:
            return x

        @staticmethod
        @ironspan.tool("inner static")
        def inner_static(x: int) -> int:
            return x

        @ironspan.tool("outer class")
        @classmethod
        def outer_class(cls, x: int) -> int:
            return cls.factor * x

        @classmethod
        @ironspan.tool("inner class")
        def inner_class(cls, x: int) -> int:
            return cls.factor * x

        @property
        @ironspan.tool("getter")
        def value(self) -> int:
            return self.factor

        @ironspan.tool("async")
        async def later(self, x: int) -> int:
            return self.factor * x

    crew = Crew()
    assert (crew.method(1), Crew.method(crew, 2)) == (10, 20)
    assert (crew.outer_static(3), Crew.inner_static(4)) == (3, 4)
    assert (crew.outer_class(5), Crew.inner_class(6), crew.value) == (50, 60, 10)
    assert asyncio.run(crew.later(7)) == 70
    assert inspect.ismethod(crew.method)
    assert inspect.iscoroutinefunction(crew.later)
    assert isinstance(inspect.getattr_static(Crew, "outer_static"), staticmethod)
    assert len(ironspan_trace.spans) == 8


def test_callables_that_are_no_functions_are_decorated(ironspan_trace: MemoryExporter) -> None:
    class Adder:
        def __call__(self, a: int) -> int:
            return a + 1

    assert ironspan.tool("object")(Adder())(1) == 2
    assert ironspan.tool("partial")(functools.partial(plain, 1))() == 6
    assert ironspan.tool(Adder())(1) == 2
    assert ironspan.tool("builtin")(len)("abc") == 3
    assert [span.name for span in ironspan_trace.spans] == [
        "execute_tool object",
        "execute_tool partial",
        "execute_tool Adder",
        "execute_tool builtin",
    ]


@pytest.mark.parametrize("target", [int, 7, "text", None])
def test_what_cannot_be_decorated_is_a_type_error_where_it_is_written(target: Any) -> None:
    with pytest.raises(TypeError, match="a span decorates functions and methods"):
        ironspan.tool("t")(target)


def test_recursion_nests(ironspan_trace: MemoryExporter) -> None:
    @ironspan.span
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(3) == 3
    assert tree(ironspan_trace.spans) == "span down\n  span down\n    span down\n      span down"


def test_a_generator_s_span_covers_all_of_it_and_is_current_only_while_it_runs(
    ironspan_trace: MemoryExporter,
) -> None:
    @ironspan.agent
    def steps() -> Generator[int, None, str]:
        with ironspan.span("inside"):
            pass
        yield 1
        with ironspan.span("inside"):
            pass
        return "done"

    with ironspan.span("caller") as caller:
        running = steps()
        assert next(running) == 1
        assert ironspan.current() is caller
        with ironspan.span("between"):
            pass
        with pytest.raises(StopIteration) as stop:
            next(running)
        assert stop.value.value == "done"
        assert ironspan.current() is caller
    assert tree(ironspan_trace.spans) == (
        "span caller\n  agent steps\n    span inside\n    span inside\n  span between"
    )


def talk() -> Generator[Any, Any, str]:
    received: list[Any] = []
    while len(received) < 3:
        try:
            received.append((yield list(received)))
        except ValueError as error:
            received.append(str(error))
    return "done"


def converse(generator: Generator[Any, Any, str]) -> list[Any]:
    heard: list[Any] = [next(generator), generator.send("a"), generator.throw(ValueError("b"))]
    with pytest.raises(StopIteration) as stop:
        generator.send("c")
    return [*heard, stop.value.value]


def test_send_and_throw_reach_a_generator(ironspan_trace: MemoryExporter) -> None:
    expected = converse(talk())
    assert converse(ironspan.span(talk)()) == expected
    assert ironspan_trace.find("talk").status == "ok"


def test_send_and_throw_reach_an_async_generator(ironspan_trace: MemoryExporter) -> None:
    async def async_talk() -> AsyncGenerator[Any, Any]:
        received: list[Any] = []
        while len(received) < 3:
            try:
                received.append((yield list(received)))
            except ValueError as error:
                received.append(str(error))

    async def main(function: Callable[[], AsyncGenerator[Any, Any]]) -> list[Any]:
        talking = function()
        heard = [await anext(talking), await talking.asend("a"), await talking.athrow(ValueError("b"))]
        with pytest.raises(StopAsyncIteration):
            await talking.asend("c")
        return heard

    assert asyncio.run(main(ironspan.span(async_talk))) == asyncio.run(main(async_talk))
    assert ironspan_trace.find("async_talk").status == "ok"


def test_closing_a_generator_runs_its_cleanup_and_cancels_the_span(ironspan_trace: MemoryExporter) -> None:
    cleaned: list[str] = []

    @ironspan.span
    def steps() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            cleaned.append(ironspan.current().name)

    running = steps()
    next(running)
    running.close()
    assert cleaned == ["steps"]
    assert ironspan_trace.find("steps").status == "cancelled"


def test_a_generator_that_is_dropped_is_cancelled(ironspan_trace: MemoryExporter) -> None:
    running = ironspan.span(generator)(1)
    next(running)
    del running
    assert ironspan_trace.find("generator").status == "cancelled"


def test_a_generator_that_never_runs_is_no_span(ironspan_trace: MemoryExporter) -> None:
    running = ironspan.span(generator)(1)
    running.close()
    assert ironspan_trace.spans == []


def test_closing_an_async_generator_cancels_the_span(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        running = ironspan.span(async_generator)(1)
        assert await anext(running) == 1
        await running.aclose()

    asyncio.run(main())
    assert ironspan_trace.find("async_generator").status == "cancelled"


def test_an_async_generator_left_by_break_is_cancelled(ironspan_trace: MemoryExporter) -> None:
    async def main() -> None:
        async for _ in ironspan.span(async_generator)(1):
            break

    asyncio.run(main())
    assert ironspan_trace.find("async_generator").status == "cancelled"


@pytest.mark.parametrize("decorated", [False, True])
def test_a_generator_that_ignores_its_close_fails_as_before(decorated: bool, ironspan_trace: MemoryExporter) -> None:
    def stubborn() -> Generator[int, None, None]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2
                return

    running = (ironspan.span(stubborn) if decorated else stubborn)()
    next(running)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        running.close()


def test_a_generator_s_failure_is_recorded_and_raised(ironspan_trace: MemoryExporter) -> None:
    failure = ValueError("bad")

    @ironspan.span
    def failing() -> Generator[int, None, None]:
        yield 1
        raise failure

    with pytest.raises(ValueError, match="bad") as caught:
        list(failing())
    assert caught.value is failure
    assert ironspan_trace.find("failing").status == "error"


def test_a_cancelled_coroutine_is_cancelled_and_raises_so(ironspan_trace: MemoryExporter) -> None:
    @ironspan.agent
    async def waiting(started: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(waiting(started))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    done = ironspan_trace.find("invoke_agent waiting")
    assert (done.status, done.events) == ("cancelled", [])


def test_a_decorator_from_before_init_works_after_it() -> None:
    done = run_python(
        """
        import ironspan
        from ironspan.testing import MemoryExporter

        @ironspan.tool
        def bare():
            return 1

        @ironspan.agent("named", role="r")
        def called():
            return bare() + 1

        class Crew:
            @ironspan.workflow("method", tags=["t"])
            def run(self):
                return called() + 1

        memory = MemoryExporter()
        ironspan.init(exporters=[memory])
        assert Crew().run() == 3
        ironspan.shutdown()
        assert Crew().run() == 3
        second = MemoryExporter()
        ironspan.init(exporters=[second])
        assert Crew().run() == 3
        for spans in (memory.spans, second.spans):
            assert [span.kind for span in spans] == ["tool", "agent", "workflow"]
            assert spans[1].attributes["ironspan.agent.role"] == "r"
            assert spans[2].attributes["ironspan.tags"] == ["t"]
            assert spans[0].parent_id == spans[1].span_id
        """
    )
    assert done.stderr == ""


def test_decorated_functions_run_with_tracing_off() -> None:
    code = """
        import asyncio, ironspan
        @ironspan.tool
        def plain(): return 1
        @ironspan.tool
        async def later(): return 2
        @ironspan.tool
        def steps(): yield 3
        assert plain() == 1 and asyncio.run(later()) == 2 and list(steps()) == [3]
    """
    assert run_python(code, env={"OTEL_SDK_DISABLED": "true"}).stderr == ""
    assert run_python(code, env={"OTEL_TRACES_SAMPLER": "always_off"}).stderr == ""
