"""What an app under test can learn about itself: memory, threads, descriptors, and time without the machine's noise.

A thread that waited for a CPU did not wait for ironspan. Linux counts that wait per thread (`schedstat`, second field),
so `Stopwatch` subtracts it; what remains is computing, blocking and waiting for the interpreter lock, and that is what
the scenarios judge. On a quiet machine it is wall time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Memory", "Stopwatch", "descriptors", "open_network", "percentile", "task_names", "threads"]


class Stopwatch:
    """Times calls on the thread that made it."""

    def __init__(self) -> None:
        self._schedstat = os.open(f"/proc/self/task/{_thread_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def queued_ns(self) -> int:
        """Nanoseconds this thread has been ready to run and was not."""
        return int(os.pread(self._schedstat, 100, 0).split()[1])

    def time(self, call: Callable[[], object]) -> int:
        """Nanoseconds `call` took, less the wait for a CPU."""
        queued = self.queued_ns()
        began = time.perf_counter_ns()
        call()
        took = time.perf_counter_ns() - began
        return max(0, took - (self.queued_ns() - queued))

    def longest_gap(self, seconds: float, until: Callable[[], bool] = lambda: False) -> int:
        """Busy loop: the longest time in nanoseconds that this thread did not get to run its next instruction."""
        worst = 0
        checked = last = time.perf_counter_ns()
        queued = self.queued_ns()
        end = last + int(seconds * 1e9)
        while last < end:
            now = time.perf_counter_ns()
            # Below half a millisecond no gap matters; reading schedstat each time would itself be the load.
            if now - last > 500_000:
                waited = self.queued_ns()
                worst = max(worst, now - last - (waited - queued))
                queued = waited
                checked = last = time.perf_counter_ns()
                if until():
                    break
                continue
            if now - checked > 1_000_000:
                queued, checked = self.queued_ns(), now
                if until():
                    break
                now = time.perf_counter_ns()
            last = now
        return worst


def _thread_id() -> int:
    import threading

    return threading.get_native_id()


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
