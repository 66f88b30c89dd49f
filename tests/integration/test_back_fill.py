"""`ironspan export --otlp`: the history of a store to receivers that take it, hesitate, refuse, or are not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ironspan
import pytest

from tests.faults.receivers import Receiver
from tests.support.processes import clean_environment, run_python

#: Two runs of a program, so two resources; every type of value; a span that never ends.
PROGRAM = """
import os, sys, ironspan
ironspan.init(sys.argv[2], store=sys.argv[1], exporters=[])
for n in range(int(sys.argv[3])):
    with ironspan.workflow(f"run {n}", input="q" * 300) as run:
        run.set("app.blob", b"\\x00\\xff")
        run.set("app.list", [1, 2])
        with ironspan.agent("writer"):
            with ironspan.generation("gpt-4o", messages=[{"role": "user", "content": "question " * 50}]) as call:
                call.usage(input=10, output=4)
            try:
                with ironspan.tool("bad" if n == 1 else "search"):
                    raise TimeoutError("no answer")
            except TimeoutError:
                pass
if sys.argv[4:]:
    kept = ironspan.workflow("unfinished").start()
    ironspan.flush(30)
    # The store learns of what begins without being asked.
    import sqlite3, time
    while True:
        with ironspan.open_store(sys.argv[1]) as store:
            if store.traces("name:unfinished"):
                os._exit(0)
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("back_fill") / "traces.db"
    run_python(PROGRAM, str(path), "shop", "3")
    run_python(PROGRAM, str(path), "till", "1", "unfinished")
    return path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(detail="spans")
    yield made
    made.close()


def command(store: Path, url: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "ironspan", "export", "--otlp", url, *words, "--store", str(store)]


def send(store: Path, url: str, *words: str, **variables: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, what `--json` says, standard error."""
    ran = subprocess.run(
        command(store, url, *words, "--json"),
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr


def outcome(delivered: int, rejected: int = 0, lost: int = 0, *, stopped: bool = False) -> dict[str, Any]:
    return {"delivered": delivered, "rejected": rejected, "lost": lost, "open": 1, "stopped": stopped}


def test_what_arrives_is_what_the_store_holds_however_often_it_is_sent(store: Path, receiver: Receiver) -> None:
    assert send(store, receiver.endpoint)[:2] == (0, outcome(16))
    with ironspan.open_store(store) as opened:
        stored = {span["id"]: span for span in opened.spans(content=True) if span["status"] != "lost"}
    arrived = {span["span_id"]: span for span in receiver.spans()}
    assert arrived.keys() == stored.keys()
    for identity, span in arrived.items():
        there = stored[identity]
        assert (span["trace_id"], span["parent_id"], span["name"]) == (
            there["trace"],
            there["parent"] or "",
            there["name"],
        )
        assert (span["start"], span["end"]) == (there["start"], there["start"] + there["duration"])
        assert (span["status"] == 2) == (there["status"] == "error")
        assert span["attributes"]["ironspan.kind"] == there["kind"]
        assert span["resource"] == there["resource"]
        assert len(span["events"]) == len(there["events"])
    assert {span["resource"]["service.name"] for span in arrived.values()} == {"shop", "till"}
    runs = [span for span in arrived.values() if span["name"].startswith("run")]
    assert [span["attributes"]["app.blob"] for span in runs] == ["00ff"] * 4
    assert [span["attributes"]["app.list"] for span in runs] == [[1, 2]] * 4
    assert send(store, receiver.endpoint)[:2] == (0, outcome(16))
    assert receiver.report()["unique"] == 16
    status, told, _ = send(store, receiver.endpoint, "name:bad")
    assert (status, told["delivered"], told["open"]) == (0, 4, 0)


def test_a_receiver_that_comes_back_gets_everything(store: Path, receiver: Receiver) -> None:
    receiver.switch("503")
    with subprocess.Popen(
        command(store, receiver.endpoint, "--json"), env=clean_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert receiver.wait("requests", 2, 60)
        receiver.switch("ok")
        told, _ = process.communicate(timeout=100)
    assert (process.returncode, json.loads(told)) == (0, outcome(16))


def test_a_span_that_is_refused_takes_nothing_along(store: Path, receiver: Receiver) -> None:
    receiver.switch("400", bad="bad")
    assert send(store, receiver.endpoint)[:2] == (1, outcome(15, rejected=1))
    assert receiver.report()["unique"] == 15


def test_nobody_there_is_given_up(store: Path, receiver: Receiver) -> None:
    receiver.switch("refuse")
    status, told, error = send(store, receiver.endpoint, "--patience", "1")
    assert (status, told) == (1, outcome(0, lost=16, stopped=True))
    assert "given up: nothing taken for 1 s" in error


def test_refused_credentials_end_it_at_once(store: Path, receiver: Receiver) -> None:
    receiver.switch("401")
    status, told, error = send(store, receiver.endpoint)
    assert (status, told) == (1, outcome(0, lost=16, stopped=True))
    assert "given up: HTTP 401" in error


def test_headers_come_from_the_words_or_from_the_variables(store: Path, receiver: Receiver) -> None:
    def sent(*words: str, **variables: str) -> tuple[dict[str, str], str]:
        receiver.reset()
        status, _, error = send(store, receiver.endpoint, *words, **variables)
        assert status == 0, error
        return receiver.requests()[0]["headers"], error

    headers, _ = sent("--header", "x-api-key=a=b", "--header", "x-tenant=t", OTEL_EXPORTER_OTLP_HEADERS="x-other=1")
    assert (headers["x-api-key"], headers["x-tenant"]) == ("a=b", "t")
    assert "x-other" not in headers
    headers, _ = sent(OTEL_EXPORTER_OTLP_HEADERS="x-other=1", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert (headers["x-other"], headers["content-type"]) == ("1", "application/x-protobuf")
    # What is for another host stays here, and is told of.
    headers, error = sent(OTEL_EXPORTER_OTLP_HEADERS="x-other=hush", OTEL_EXPORTER_OTLP_ENDPOINT="https://else.example")
    assert "x-other" not in headers
    assert "OTEL_EXPORTER_OTLP_HEADERS is for the endpoint in the variables" in error
    assert "hush" not in error


def test_ctrl_c_stops_it_and_says_how_far_it_came(store: Path, receiver: Receiver) -> None:
    receiver.switch("blackhole")
    with subprocess.Popen(
        command(store, receiver.endpoint, "--json"),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Connections are made by whoever sends already.
        deadline = time.monotonic() + 60
        while receiver.report()["connections"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        told, error = process.communicate(timeout=60)
    assert (process.returncode, json.loads(told)) == (1, outcome(0, lost=16, stopped=True))
    assert "stopped" in error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--otlp", "localhost:4318"], "has no scheme; write http://localhost:4318"),
        (["--otlp", "http://collector.example", "--header", "authorization=hush"], "would travel unencrypted"),
        (["--otlp", "http://localhost:1", "--header", "hush"], "no equals sign"),
        (["--otlp", "http://localhost:1", "--output", "x.csv"], "cannot be used with"),
        (["--header", "a=b"], "--otlp"),
    ],
)
def test_what_cannot_be_meant_is_told(store: Path, words: list[str], told: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ironspan", "export", *words, "--store", str(store)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert told in ran.stderr
    assert "hush" not in ran.stderr
