"""The watch for standstills is tested with sleepers that are stopped, as a host stops a CPU."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults import probe
from tests.faults.machine import Machine, stalls, within


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def halt(machine: Machine, seconds: float) -> float:
    """Stops all sleepers for a while; when that began."""
    begin = time.monotonic()
    for sleeper in machine.sleepers:
        os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(seconds)
    for sleeper in machine.sleepers:
        os.kill(sleeper.pid, signal.SIGCONT)
    deadline = time.monotonic() + 10
    while len(long_ones(machine, begin)) < len(machine.sleepers) and time.monotonic() < deadline:
        time.sleep(0.005)
    return begin


def long_ones(machine: Machine, since: float) -> list[tuple[float, float]]:
    return [(first, last) for first, last in stalls(machine.folder) if last > since and last - first > 0.15]


def test_a_standstill_is_seen_once_though_every_cpu_saw_it(machine: Machine) -> None:
    begin = halt(machine, 0.2)
    assert len(long_ones(machine, begin)) == len(machine.sleepers)
    assert 0.15 < machine.stalled(begin - 0.1, time.monotonic()) < 2 * (time.monotonic() - begin)
    assert machine.stalled(begin + 0.05, begin + 0.1) == pytest.approx(0.05)


def test_a_stopwatch_leaves_out_the_standstill_and_nothing_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_MACHINE", machine.folder)
    assert probe.Stopwatch().time(lambda: time.sleep(0.15)) > 0.14e9 - machine.stalled(0.0, time.monotonic()) * 1e9
    assert probe.Stopwatch().time(lambda: halt(machine, 0.3)) < 0.15e9


def test_stretches_that_overlap_count_once() -> None:
    assert within([(1.0, 3.0), (2.0, 4.0), (6.0, 7.0)], 0.0, 6.5) == 3.5
    assert within([(1.0, 3.0)], 1.5, 2.0) == 0.5
    assert within([(1.0, 3.0)], 4.0, 5.0) == 0.0
    assert within([], 0.0, 1.0) == 0.0
