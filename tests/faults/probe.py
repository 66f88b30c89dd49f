"""What an app under test can learn about itself: memory, threads, descriptors, and time without the machine's noise.

A thread that waited for a CPU did not wait for ironspan. Linux counts that wait per thread (`schedstat`, second field),
so `Stopwatch` subtracts it. On a virtual machine there is a second thief: the hypervisor takes the CPU away (`steal` of
/proc/stat; gaps of 100 ms were seen). That is subtracted from long samples in which the thread never gave up the CPU by
itself, which it does for every lock, for the interpreter lock and for input and output. From samples in which it did,
what is subtracted is the standstill that `machine.Machine` saw from outside. What remains is computing and blocking,
and that is what the scenarios judge. On a quiet machine it is wall time.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.machine import stalls, within

__all__ = ["Memory", "Stopwatch", "descriptors", "open_network", "percentile", "task_names", "threads"]


_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# Samples from here on are checked for theft, and the counter of theft is read at least this often.
_LONG_NS = 2_000_000
_LOOK_NS = 50_000_000
_SETTLE_SECONDS = 0.02


class Stopwatch:
    """Times calls on the thread that made it."""

    def __init__(self) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        self._schedstat = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", flags)
        self._stat = os.open("/proc/stat", flags)
        self._machine = os.environ.get("FAULTS_MACHINE")
        self._look()

    def queued_ns(self) -> int:
        """Nanoseconds this thread has been ready to run and was not."""
        return int(os.pread(self._schedstat, 100, 0).split()[1])

    def _look(self) -> None:
        """Note what has been stolen from the machine so far."""
        self._stolen = int(os.pread(self._stat, 200, 0).split()[8]) * _TICK_NS
        self._looked = time.perf_counter_ns()

    def _without_theft(self, wall: int, queued: int, blocked: int) -> int:
        """A sample that ends now: `wall` ns, `queued` of them spent waiting for a CPU.

        `blocked` is how often the thread had given up the CPU by itself when it began.
        """
        took = max(0, wall - queued)
        if took < _LONG_NS:
            return took
        end = time.perf_counter_ns()
        before = self._stolen
        self._look()
        if _gave_up() == blocked:
            return max(0, took - (self._stolen - before))
        if self._machine is None:
            return took
        # The sleepers report when they wake, which may be a moment after this thread did.
        time.sleep(_SETTLE_SECONDS)
        stalled = within(stalls(self._machine), (end - wall) / 1e9, end / 1e9)
        return max(0, wall - max(queued, int(stalled * 1e9)))

    def time(self, call: Callable[[], object]) -> int:
        """Nanoseconds `call` took, less what the machine took."""
        if time.perf_counter_ns() - self._looked > _LOOK_NS:
            self._look()
        queued, blocked = self.queued_ns(), _gave_up()
        began = time.perf_counter_ns()
        call()
        took = time.perf_counter_ns() - began
        return self._without_theft(took, self.queued_ns() - queued, blocked)

    def longest_gap(self, seconds: float, until: Callable[[], bool] = lambda: False) -> int:
        """Busy loop: the longest time in nanoseconds that this thread did not get to run its next instruction."""
        worst = 0
        looked = last = time.perf_counter_ns()
        queued, blocked = self.queued_ns(), _gave_up()
        end = last + int(seconds * 1e9)
        while last < end:
            now = time.perf_counter_ns()
            gap = now - last
            # Below half a millisecond no gap matters; looking around each time would itself be the load.
            if gap > 500_000 or now - looked > _LOOK_NS:
                waited = self.queued_ns()
                worst = max(worst, self._without_theft(gap, waited - queued, blocked))
                if until():
                    break
                self._look()
                queued, blocked = self.queued_ns(), _gave_up()
                looked = time.perf_counter_ns()
            # Looking around belongs to the next gap: it lets go of the interpreter lock, and may not get it back.
            last = now
        return worst


def _gave_up() -> int:
    """How often this thread has left the CPU of its own accord: to wait for a lock, or for input and output."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


class Memory:
    """Peak resident memory above what it was at the start."""

    def __init__(self) -> None:
        # 5 resets the high-water mark of resident memory (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")
        self.before = self.now()

    @staticmethod
    def now(field: str = "VmRSS:") -> int:
        """Bytes."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise LookupError(field)

    def peak_growth(self) -> int:
        return self.now("VmHWM:") - self.before

    def growth(self) -> int:
        return self.now() - self.before


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def task_names() -> dict[int, str]:
    """Thread id to thread name."""
    found = {}
    for number in os.listdir("/proc/self/task"):
        try:
            found[int(number)] = Path(f"/proc/self/task/{number}/comm").read_text().strip()
        except OSError:
            continue
    return found


def descriptors() -> dict[int, str]:
    """Open file descriptors and what they are."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
    return {number: target for number, target in found.items() if not target.startswith("/proc/")}


def open_network() -> list[str]:
    """Descriptors that an exporter would own: sockets, event queues, pipes of a runtime."""
    return [target for target in descriptors().values() if target.startswith(("socket:", "anon_inode:"))]


def percentile(samples: Sequence[int], share: float) -> int:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
