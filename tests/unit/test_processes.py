"""The end of a program, and its children by fork and spawn: every span is delivered, by exactly one process."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import ironspan
import pytest

from tests.faults.receivers import Receiver
from tests.support.processes import run_python

pytest.importorskip("opentelemetry.proto")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and /proc")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(detail="spans")
    yield made
    made.close()


def run(receiver: Receiver, code: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Runs ``code`` against ``receiver`` and gives what arrived, by name. Nothing may be printed or come twice."""
    receiver.reset()
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_SERVICE_NAME": "children"}
    done = run_python(code, env=variables, **options)
    assert done.stderr == "" or not options.get("succeeds", True), done.stderr
    assert set(receiver.ids().values()) <= {1}, "a span came twice"
    found: dict[str, list[dict[str, Any]]] = {}
    for span in receiver.spans():
        found.setdefault(span["name"], []).append(span)
    return found


@pytest.mark.parametrize(
    "ending", ["", "raise SystemExit(3)", "raise ValueError('bad')", "import sys; sys.exit(0)", "1 / 0"]
)
def test_the_end_of_the_program_delivers_what_is_pending(ending: str, receiver: Receiver) -> None:
    code = f"""
        import ironspan
        for _ in range(10):
            with ironspan.span("x"):
                pass
        {ending}
    """
    assert len(run(receiver, code, succeeds=False)["x"]) == 10


def test_spans_of_other_exit_handlers_are_delivered(receiver: Receiver) -> None:
    code = """
        import atexit, ironspan
        with ironspan.span("first"):
            pass
        def last():
            with ironspan.span("at exit"):
                pass
        atexit.register(last)
    """
    assert set(run(receiver, code)) == {"first", "at exit"}


def test_a_fork_delivers_from_both_sides(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        with ironspan.span("before"):
            pass
        with ironspan.agent("parent") as parent:
            child = os.fork()
            with ironspan.span("child" if child == 0 else "sibling"):
                pass
            if child == 0:
                ironspan.shutdown()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert {name: len(spans) for name, spans in found.items()} == {
        "before": 1,
        "invoke_agent parent": 1,
        "child": 1,
        "sibling": 1,
    }
    (parent,) = found["invoke_agent parent"]
    for name in ("child", "sibling"):
        assert found[name][0]["parent_id"] == parent["span_id"]
        assert found[name][0]["trace_id"] == parent["trace_id"]


def test_the_parent_s_open_span_is_the_parent_s_to_export(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        span = ironspan.span("open").start()
        held = ironspan.span("held")
        held.__enter__()
        child = os.fork()
        if child == 0:
            span.set("in child", 1).end()
            held.__exit__(None, None, None)
            with ironspan.span("after"):
                pass
            counts = ironspan.stats()
            assert counts["open_spans"] == 0, counts
            assert ironspan.shutdown()
            assert ironspan.stats()["created"] == 1, ironspan.stats()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        span.end()
        held.__exit__(None, None, None)
        """,
    )
    assert {name: len(spans) for name, spans in found.items()} == {"open": 1, "held": 1, "after": 1}


def test_forks_of_forks_have_ids_of_their_own(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        with ironspan.span("root"):
            for generation in range(3):
                child = os.fork()
                for _ in range(20):
                    with ironspan.span("work"):
                        pass
                if child:
                    assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert len(found["work"]) == 20 * (2 + 4 + 8)
    assert len({span["span_id"] for span in found["work"]}) == len(found["work"])
    assert len(found["root"]) == 1


def test_a_fork_with_threads_at_work_delivers_everything(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, threading, warnings, ironspan
        warnings.simplefilter("ignore")
        stop = threading.Event()
        made = []
        def produce():
            count = 0
            while not stop.is_set() and count < 2_000:
                with ironspan.span("thread"):
                    count += 1
            made.append(count)
        threads = [threading.Thread(target=produce) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                with ironspan.span("child"):
                    pass
                ironspan.shutdown()
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert ironspan.shutdown(30)
        counts = ironspan.stats()
        assert counts["created"] == counts["delivered"] == sum(made), counts
        """,
    )
    assert len(found["child"]) == 5


POOLS = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    import ironspan

    def work(at, headers):
        with ironspan.attach(ironspan.extract(headers)), ironspan.span("work", attributes={"at": at}):
            return at

    def main(method):
        context = multiprocessing.get_context(method)
        with ironspan.workflow("main"):
            headers = ironspan.inject({})
            process = context.Process(target=work, args=(100, headers))
            process.start()
            process.join()
            assert process.exitcode == 0
            with context.Pool(2) as pool:
                assert pool.starmap(work, [(at, headers) for at in range(6)]) == list(range(6))
                pool.close()
                pool.join()
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert list(pool.map(work, range(6, 12), [headers] * 6)) == list(range(6, 12))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver(method: str, receiver: Receiver, tmp_path: Any) -> None:
    (tmp_path / "pools.py").write_text(textwrap.dedent(POOLS))
    found = run(
        receiver,
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import pools
        pools.main({method!r})
        """,
    )
    (root,) = found["invoke_workflow main"]
    assert sorted(span["attributes"]["at"] for span in found["work"]) == [*range(12), 100]
    assert {span["parent_id"] for span in found["work"]} == {root["span_id"]}
    assert {span["trace_id"] for span in found["work"]} == {root["trace_id"]}


def test_the_child_of_a_fork_can_be_configured_anew(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        from ironspan.testing import MemoryExporter
        with ironspan.span("parent"):
            pass
        child = os.fork()
        if child == 0:
            memory = MemoryExporter()
            ironspan.init(exporters=[memory])
            with ironspan.span("child"):
                pass
            assert [span.name for span in memory.spans] == ["child"]
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert set(found) == {"parent"}


def test_a_fork_before_the_first_span_is_nothing_special(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        child = os.fork()
        with ironspan.span("x"):
            pass
        if child == 0:
            ironspan.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert len(found["x"]) == 2
    assert len({span["trace_id"] for span in found["x"]}) == 2


def test_a_fork_after_shutdown_is_survived(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import os, ironspan
        with ironspan.span("x"):
            pass
        ironspan.shutdown()
        child = os.fork()
        with ironspan.span("lost"):
            pass
        if child == 0:
            assert ironspan.flush() is not None
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
    )
    assert set(found) == {"x"}


def test_what_arrives_is_what_was_recorded(receiver: Receiver) -> None:
    found = run(
        receiver,
        """
        import ironspan
        with ironspan.generation("m", provider="openai", attributes={"n": 1, "l": ["a"], "f": 0.5}) as span:
            span.usage(input=3).event("e", k="v").error(ValueError("bad"))
        """,
    )
    (span,) = found["chat m"]
    assert span["attributes"]["gen_ai.usage.input_tokens"] == 3
    assert (span["attributes"]["n"], span["attributes"]["f"]) == (1, 0.5)


def test_the_test_s_own_process_is_undisturbed() -> None:
    assert ironspan.stats()["open_spans"] == 0
