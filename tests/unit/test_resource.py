"""Who sends: the attributes of the resource, from arguments, variables and the process."""

from __future__ import annotations

import os
from typing import Any

import ironspan
import pytest
from ironspan.testing import MemoryExporter


def resource(*arguments: Any, **options: Any) -> dict[str, Any]:
    memory = MemoryExporter()
    ironspan.init(*arguments, exporters=[memory], **options)
    with ironspan.span("x"):
        pass
    return memory.resource


def test_the_process_describes_itself() -> None:
    found = resource()
    assert found["service.name"].startswith("unknown_service:")
    assert (found["telemetry.sdk.name"], found["telemetry.sdk.language"]) == ("ironspan", "python")
    assert found["telemetry.sdk.version"] == ironspan.__version__
    assert found["process.pid"] == os.getpid()
    assert found["process.runtime.name"] == "cpython"
    assert found["service.instance.id"]


def test_arguments_name_the_service() -> None:
    found = resource("shop", version="1.2", environment="staging", resource={"team": "a", "n": 1, "tags": ["x", "y"]})
    assert (found["service.name"], found["service.version"]) == ("shop", "1.2")
    assert found["deployment.environment.name"] == "staging"
    assert (found["team"], found["n"], found["tags"]) == ("a", 1, ["x", "y"])


def test_variables_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-name")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-attributes,team=a%2Cb,service.version=3")
    found = resource()
    assert (found["service.name"], found["team"], found["service.version"]) == ("from-name", "a,b", "3")
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    assert resource()["service.name"] == "from-attributes"


def test_an_argument_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "variable")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=variable,kept=1")
    found = resource("argument", resource={"team": "argument"})
    assert (found["service.name"], found["team"], found["kept"]) == ("argument", "argument", "1")


def test_spans_of_one_process_share_one_resource(ironspan_trace: MemoryExporter) -> None:
    with ironspan.span("x"):
        pass
    assert ironspan_trace.resource["service.name"] == "test"
    ironspan_trace.clear()
    assert ironspan_trace.resource == {}
