"""Wrong configuration: one sentence that names the option and says what to write, raised at once or logged once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import ironspan
import pytest
from ironspan import exporters
from ironspan.testing import MemoryExporter

from tests.support.processes import run_python

MEMORY = "a list of exporters from ironspan.exporters (Otlp, Console, File) or ironspan.testing.MemoryExporter"
RATIO = "write for example 0.1 to keep one trace in ten"

ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"service": 7}, "service is of type int; write a string"),
    ({"sample": 1.5}, f"sample is 1.5, which is not a number from 0 to 1; {RATIO}"),
    ({"sample": -0.5}, f"sample is -0.5, which is not a number from 0 to 1; {RATIO}"),
    ({"sample": float("nan")}, f"sample is NaN, which is not a number from 0 to 1; {RATIO}"),
    ({"sample": []}, "sample is of type list; write a number from 0 to 1, or the name of a sampler"),
    ({"sample": True}, "sample is of type bool; write a number from 0 to 1, or the name of a sampler"),
    ({"sample": "alway_on"}, 'sample is "alway_on", which is not known; did you mean always_on?'),
    (
        {"capture": "none"},
        'capture is "none", which is not known; write one of off, metadata, redacted, full',
    ),
    ({"capture": "ful"}, 'capture is "ful", which is not known; did you mean full?'),
    ({"capture": 1}, "capture is of type int; write a string"),
    ({"console": "tre"}, 'console is "tre", which is not known; did you mean tree?'),
    ({"dialects": "genai"}, "dialects is of type str; write a list of names"),
    ({"dialects": ["openinfrence"]}, 'dialects is "openinfrence", which is not known; did you mean openinference?'),
    (
        {"dialects": []},
        "dialects is empty; write at least one of genai, openinference, langfuse, openllmetry",
    ),
    ({"propagators": ["bagage"]}, 'propagators is "bagage", which is not known; did you mean baggage?'),
    ({"propagators": "tracecontext"}, "propagators is of type str; write a list of names"),
    ({"propagators": [7]}, "propagators is of type list; write a list of names"),
    (
        {"shutdown_timeout": -1},
        "shutdown_timeout is -1, which is out of range; write a number of seconds from 0 to 86400",
    ),
    ({"shutdown_timeout": "2"}, "shutdown_timeout is of type str; write a number"),
    ({"threads": 1}, "threads is of type int; write True or False"),
    ({"strict": "yes"}, "strict is of type str; write True or False"),
    ({"version": 1.0}, "version is of type float; write a string"),
    ({"environment": b"x"}, "environment is of type bytes; write a string"),
    ({"resource": []}, "resource is of type list; write a dict of attributes"),
    ({"resource": {1: 2}}, "resource is of type int; write a string"),
    (
        {"resource": {"k": object()}},
        'resource["k"] is of type object; write a string, number, boolean or a list of these',
    ),
    ({"limits": 5}, "limits is of type int; write a dict of limits"),
    ({"limits": {"event": 1}}, 'limits[\\"event\\"] is not an option'),
    ({"limits": {"events": "many"}}, 'limits["events"] is of type str; write a whole number'),
    ({"limits": {"events": -1}}, "limits.events is -1, which is out of range; write a whole number"),
    ({"exporters": "otlp"}, f'exporters is a string other than "env"; write {MEMORY}'),
    ({"exporters": 7}, f"exporters is of type int; write {MEMORY}"),
    ({"exporters": [7]}, f"exporters[0] is of type int; write {MEMORY}"),
    ({"exporters": [MemoryExporter]}, f"exporters[0] is of type type; write {MEMORY}"),
    ({"exporters": [exporters.Otlp(timeout="soon")]}, "exporters[0].timeout is of type str; write a number"),  # type: ignore[arg-type]
    ({"exporters": [exporters.Otlp(headers={"a": 1})]}, "exporters[0].headers is of type int; write a string"),  # type: ignore[dict-item]
    ({"exporters": [exporters.Otlp(insecure=1)]}, "exporters[0].insecure is of type int; write True or False"),  # type: ignore[arg-type]
    (
        {"exporters": [exporters.Console("tre")]},
        'exporters[0].mode is "tre", which is not known; did you mean tree?',
    ),
    (
        {"exporters": [exporters.File("traces.json")]},
        'exporters[0].path is "traces.json", which does not end in .jsonl',
    ),
    ({"exporter": []}, "exporter is not an option; did you mean exporters?"),
    ({"colour": True}, "colour is not an option; write one of service, store, exporters"),
    ({"mask": []}, "mask is given; write nothing yet: this option comes with a later version"),
    ({"store": 7}, "store is of type int; write a path as a string or pathlib.Path"),
    ({"store": ""}, "store is empty; write a path, or off"),
]


@pytest.mark.parametrize(("options", "sentence"), ARGUMENTS, ids=[sentence for _, sentence in ARGUMENTS])
def test_a_wrong_argument_raises_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ironspan.ConfigError) as caught:
        ironspan.init(**options)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert "; " in text
    assert "\n" not in text
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ironspan.IronspanError)


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        ironspan.init("service", None)  # type: ignore[misc]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"service": None},
        {"store": None},
        {"store": "memory"},
        {"store": Path("traces.db")},
        {"exporters": []},
        {"exporters": ()},
        {"exporters": "env"},
        {"limits": {}},
        {"dialects": ("genai", "openinference")},
        {"console": "off"},
        {"shutdown_timeout": 0},
        {"sample": 0},
    ],
    ids=repr,
)
def test_a_right_argument_says_nothing(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    ironspan.init(**options)
    assert caplog.records == []


VARIABLES: list[tuple[str, str, str]] = [
    ("OTEL_SDK_DISABLED", "1", 'OTEL_SDK_DISABLED is "1", which is neither true nor false; write true or false'),
    (
        "OTEL_TRACES_SAMPLER",
        "alway_on",
        'OTEL_TRACES_SAMPLER is "alway_on", which is not known; did you mean always_on?',
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "many",
        'OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is "many", which is not a whole number; write a whole number from 0',
    ),
    ("OTEL_PROPAGATORS", "ottrace", 'OTEL_PROPAGATORS is "ottrace", which is not known; '),
    ("IRONSPAN_CAPTURE", "ful", 'IRONSPAN_CAPTURE is "ful", which is not known; did you mean full?'),
    ("IRONSPAN_DIALECTS", "genia", 'IRONSPAN_DIALECTS is "genia", which is not known; did you mean genai?'),
    ("IRONSPAN_RUN_IDLE_SECONDS", "soon", 'IRONSPAN_RUN_IDLE_SECONDS is "soon", which is not a number of seconds; '),
    ("IRONSPAN_CONSOLE", "tre", 'IRONSPAN_CONSOLE is "tre", which is not known; did you mean tree?'),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b", 'OTEL_RESOURCE_ATTRIBUTES has the item "b", which is not key=value; '),
    ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER"),
    ("OTEL_BSP_SCHEDULE_DELAY", "1s", 'OTEL_BSP_SCHEDULE_DELAY is "1s", which is not a duration in milliseconds; '),
]


@pytest.mark.parametrize(("name", "value", "sentence"), VARIABLES, ids=[name for name, _, _ in VARIABLES])
def test_a_wrong_variable_is_one_log_line_and_the_default(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, value)
    memory = MemoryExporter()
    ironspan.init(exporters=[memory])
    lines = [record for record in caplog.records if record.name == "ironspan"]
    if name == "OTEL_TRACES_EXPORTER":
        # Exporters in code: the variable is not asked.
        assert lines == []
        return
    (line,) = lines
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(sentence)
    assert line.getMessage().endswith(")"), "it says what happens instead"
    with ironspan.span("x"):
        pass
    assert len(memory.spans) == 1


@pytest.mark.parametrize(("name", "value", "sentence"), VARIABLES, ids=[name for name, _, _ in VARIABLES])
def test_a_wrong_variable_raises_under_strict(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ironspan.ConfigError) as caught:
        ironspan.init(strict=True)
    assert str(caught.value).startswith(sentence)


def test_strict_says_nothing_about_right_variables(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {
        "OTEL_SERVICE_NAME": "x",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_PROPAGATORS": "tracecontext,baggage,b3",
        "IRONSPAN_CAPTURE": "Full",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "",
    }.items():
        monkeypatch.setenv(name, value)
    ironspan.init(strict=True, exporters=[])
    assert caplog.records == []


def test_a_mistyped_variable_of_ours_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IRONSPAN_CAPTUR", "off")
    ironspan.init(exporters=[])
    (line,) = caplog.messages
    assert line.startswith("IRONSPAN_CAPTUR is not known; did you mean IRONSPAN_CAPTURE?")


def test_secrets_in_headers_are_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    for headers in ({"authorization": "Bearer s3\ncret s3cret"}, {"bad name": "s3cret"}, {"x": b"s3cret"}):
        exporter = exporters.Otlp("http://localhost:1", headers=headers)  # type: ignore[arg-type]
        assert "s3cret" not in repr(exporter)
        with pytest.raises(ironspan.ConfigError) as caught:
            ironspan.init(exporters=[exporter])
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in caplog.text


def test_the_first_span_reads_the_environment_without_raising() -> None:
    done = run_python(
        """
        import ironspan
        with ironspan.span("x"):
            pass
        """,
        env={"OTEL_SPAN_EVENT_COUNT_LIMIT": "many", "OTEL_TRACES_EXPORTER": "none"},
    )
    assert done.stderr.startswith('OTEL_SPAN_EVENT_COUNT_LIMIT is "many", which is not a whole number; write')
    assert done.stderr.count("OTEL_SPAN_EVENT_COUNT_LIMIT") == 1
