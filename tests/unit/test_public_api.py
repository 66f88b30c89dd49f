"""What `import ironspan` gives, and that it does nothing besides."""

from __future__ import annotations

import json
import types

import ironspan
import pytest
from ironspan import exporters, testing

from tests.support.processes import run_python


def test_all_is_what_there_is() -> None:
    public = {
        name
        for name, value in vars(ironspan).items()
        if not name.startswith("_") and (not isinstance(value, types.ModuleType) or name in ironspan.__all__)
    }
    # Imported for the module's own use.
    public -= {"annotations", "import_module", "TYPE_CHECKING", "Any"}
    # Found when they are first used.
    lazy = {"Store", "View", "open_store", "view"}
    assert public | lazy | {"__version__"} == set(ironspan.__all__)
    assert all(hasattr(ironspan, name) for name in lazy)
    assert len(ironspan.__all__) == len(set(ironspan.__all__))


@pytest.mark.parametrize("module", [exporters, testing])
def test_all_of_a_submodule_exists(module: types.ModuleType) -> None:
    assert all(hasattr(module, name) for name in module.__all__)


def test_submodules_are_imported_when_they_are_first_used() -> None:
    run_python(
        """
        import sys, ironspan
        assert "ironspan.testing" not in sys.modules and "ironspan.langchain" not in sys.modules
        assert ironspan.testing.MemoryExporter
        assert "ironspan.testing" in sys.modules
        """
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ironspan' has no attribute 'nonsense'"):
        ironspan.nonsense  # noqa: B018


def test_config_error_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(ironspan.ConfigError, ValueError)
    assert issubclass(ironspan.ConfigError, ironspan.IronspanError)
    assert issubclass(ironspan.IronspanError, Exception)


def test_the_fixture_comes_with_the_package() -> None:
    from importlib.metadata import entry_points

    (point,) = entry_points(group="pytest11", name="ironspan")
    assert point.value == "ironspan.testing.plugin"


def test_importing_does_nothing_but_import() -> None:
    done = run_python(
        """
        # What these register is theirs.
        import atexit, concurrent.futures.thread, json, logging, os, sys, threading
        registered = []
        atexit.register = lambda function, *a, **k: registered.append(repr(function))
        forks = []
        os.register_at_fork = lambda **k: forks.append(repr(k))
        start = threading.Thread.start
        before = {"fds": sorted(os.listdir("/proc/self/fd")), "tasks": os.listdir("/proc/self/task"),
                  "env": dict(os.environ), "cwd": os.listdir("."), "handlers": list(logging.getLogger().handlers)}
        def caught():
            with open("/proc/self/status") as status:
                return status.read().split("SigCgt:")[1].split()[0]
        signals = caught()
        import ironspan
        after = {"fds": sorted(os.listdir("/proc/self/fd")), "tasks": os.listdir("/proc/self/task"),
                 "env": dict(os.environ), "cwd": os.listdir("."), "handlers": list(logging.getLogger().handlers)}
        assert before == after, (before, after)
        assert signals == caught()
        assert threading.Thread.start is start
        heavy = {"asyncio", "multiprocessing", "socket", "ssl", "http", "subprocess", "pydantic", "langchain_core",
                 "opentelemetry"} & set(sys.modules)
        print(json.dumps([registered, forks, sorted(heavy)]))
        """
    )
    assert json.loads(done.stdout) == [[], [], []]
    assert done.stderr == ""


def test_importing_reads_no_configuration() -> None:
    done = run_python(
        "import ironspan",
        env={"OTEL_TRACES_SAMPLER": "nonsense", "OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense", "IRONSPAN_CAPTURE": "no"},
    )
    assert done.stderr == ""


def test_propagating_starts_no_thread() -> None:
    run_python(
        """
        import os, ironspan
        header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with ironspan.attach(ironspan.extract({"traceparent": header})), ironspan.scope(session="s"):
            assert ironspan.inject({})["traceparent"] == header
        assert len(os.listdir("/proc/self/task")) == 1
        """
    )


def test_the_first_span_imports_nothing_of_ours() -> None:
    # A thread that imports holds a lock: in the child of a fork in that moment nobody would give it back.
    run_python(
        """
        import sys, ironspan, ironspan.testing
        memory = ironspan.testing.MemoryExporter()
        before = set(sys.modules)
        ironspan.init(exporters=[memory])
        with ironspan.span("x") as span:
            list(span.stream(["a"]))
        assert set(sys.modules) == before, set(sys.modules) - before
        """
    )


def test_everything_public_has_a_docstring() -> None:
    documented = [name for name in ironspan.__all__ if name not in ("UNSET", "__version__", "exporters")]
    missing = [name for name in documented if not getattr(ironspan, name).__doc__]
    assert missing == []
