"""What the machine did to everybody: stretches in which a CPU stood still, seen by a process that only ever sleeps.

A virtual machine whose host is busy stops for tenths of a second. A call that waits through such a stretch returns
late, and timers of different processes fire together when it is over; neither is ironspan's doing. `Machine` keeps one
sleeper on each CPU, in processes that know nothing of the app: what ironspan does to the app's interpreter, locks and
threads cannot be taken for the machine's. A sleeper that had to queue for its CPU says so (`schedstat`, second field),
and that time does not count, so neither can ironspan's own computing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["Machine", "stalls", "within"]

_STEP_SECONDS = 0.002
# A sleeper that is woken this much too late saw its CPU stand still.
_LATE_SECONDS = 0.005
_START_SECONDS = 20.0


class Machine:
    """Watches until it is closed. `folder` has one report for each CPU."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="machine-")
        self.folder = self._folder.name
        self.sleepers: list[subprocess.Popen[bytes]] = []
        for cpu in sorted(os.sched_getaffinity(0)):
            with open(Path(self.folder, str(cpu)), "wb") as report:
                command = [sys.executable, "-S", "-E", __file__, str(cpu)]
                self.sleepers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=report))
        deadline = time.monotonic() + _START_SECONDS
        while not all(report.stat().st_size for report in Path(self.folder).iterdir()):
            if time.monotonic() > deadline:
                raise TimeoutError("the sleepers did not start")
            time.sleep(_STEP_SECONDS)

    def stalled(self, begin: float, end: float) -> float:
        """Seconds between two times of the monotonic clock in which at least one CPU stood still."""
        return within(stalls(self.folder), begin, end)

    def close(self) -> None:
        for sleeper in self.sleepers:
            sleeper.kill()
            sleeper.wait()
        self._folder.cleanup()


def stalls(folder: str) -> list[tuple[float, float]]:
    """Begin and end of each stretch in the reports of a folder, sorted, on the monotonic clock."""
    found = []
    for report in Path(folder).iterdir():
        # The first line says that the sleeper is there. A last line without its end is still being written.
        for line in report.read_text().split("\n")[1:-1]:
            begin, end = line.split()
            found.append((float(begin), float(end)))
    return sorted(found)


def within(stretches: list[tuple[float, float]], begin: float, end: float) -> float:
    """Seconds between two times that sorted stretches cover; where they overlap, once."""
    total, reached = 0.0, begin
    for first, last in stretches:
        first, last = max(first, reached), min(last, end)
        if last > first:
            total += last - first
            reached = last
    return total


def _sleep(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    schedule = os.open("/proc/self/schedstat", os.O_RDONLY)
    parent = os.getppid()
    os.write(1, b"\n")
    last, queued = time.monotonic(), int(os.pread(schedule, 100, 0).split()[1])
    while os.getppid() == parent:
        time.sleep(_STEP_SECONDS)
        now = time.monotonic()
        if now - last > _STEP_SECONDS + _LATE_SECONDS:
            waited = int(os.pread(schedule, 100, 0).split()[1])
            begin = last + _STEP_SECONDS + (waited - queued) / 1e9
            if now - begin > _LATE_SECONDS:
                os.write(1, f"{begin:.6f} {now:.6f}\n".encode())
            queued = waited
            now = time.monotonic()
        last = now


if __name__ == "__main__":
    _sleep(int(sys.argv[1]))
