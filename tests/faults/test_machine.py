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


def halt(machine: Machine, seconds: float) -> tuple[float, float]:
    time.sleep(0.3)
    begin = time.monotonic()
    for sleeper in machine.sleepers:
        os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(seconds)
    for sleeper in machine.sleepers:
        os.kill(sleeper.pid, signal.SIGCONT)
    end = time.monotonic()
    time.sleep(0.1)
    return begin, end


def test_a_standstill_is_seen_once_though_every_cpu_saw_it(machine: Machine) -> None:
    begin, end = halt(machine, 0.2)
    assert len([first for first, last in stalls(machine.folder) if last - first > 0.15]) == len(machine.sleepers)
    assert 0.15 < machine.stalled(begin - 0.1, end + 0.1) < 2 * (end - begin)
    assert machine.stalled(begin + 0.05, begin + 0.1) == pytest.approx(0.05)


def test_a_stopwatch_leaves_out_the_standstill_and_nothing_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_MACHINE", machine.folder)
    assert probe.Stopwatch().time(lambda: time.sleep(0.15)) > 0.14e9 - machine.stalled(0.0, time.monotonic()) * 1e9
    whole = 0.3 + 0.2 + 0.1
    assert probe.Stopwatch().time(lambda: halt(machine, 0.2)) < (whole - 0.15) * 1e9 + 0.1e9


def test_stretches_that_overlap_count_once() -> None:
    assert within([(1.0, 3.0), (2.0, 4.0), (6.0, 7.0)], 0.0, 6.5) == 3.5
    assert within([(1.0, 3.0)], 1.5, 2.0) == 0.5
    assert within([(1.0, 3.0)], 4.0, 5.0) == 0.0
    assert within([], 0.0, 1.0) == 0.0
