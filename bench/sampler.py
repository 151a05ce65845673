"""Memory, CPU time and page faults of a server's processes, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

INTERVAL_SECONDS = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """MiB, of one process or the sum of several; `peak` is the kernel's own high-water mark, `pss` is 0 unless it was asked for."""

    rss: float = 0.0
    anonymous: float = 0.0
    peak: float = 0.0
    pss: float = 0.0

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            self.rss + other.rss,
            self.anonymous + other.anonymous,
            self.peak + other.peak,
            self.pss + other.pss,
        )


@dataclass(frozen=True)
class Sample:
    """Memory at one moment."""

    when: float
    memory: Memory


@dataclass(frozen=True)
class Usage:
    """CPU seconds, page faults and context switches since the start; those of threads that have ended are in no file."""

    cpu: float = 0.0
    minor_faults: int = 0
    major_faults: int = 0
    switches: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu + other.cpu,
            self.minor_faults + other.minor_faults,
            self.major_faults + other.major_faults,
            self.switches + other.switches,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu - other.cpu,
            self.minor_faults - other.minor_faults,
            self.major_faults - other.major_faults,
            self.switches - other.switches,
        )


def memory(pids: list[int]) -> Memory:
    """Sum up /proc/PID/status; a process that is gone has no memory."""
    return sum(map(_memory, pids), Memory())


def _memory(pid: int) -> Memory:
    fields = dict(
        line.split(":", 1) for line in _read(pid, "status").splitlines() if ":" in line
    )
    if "VmRSS" not in fields:  # gone, or a zombie
        return Memory()
    return Memory(
        *(int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon", "VmHWM"))
    )


def age(pid: int) -> float:
    """Return the seconds since a process began."""
    # The name, in parentheses, may hold anything. After it field 3 comes first.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    began = int(fields[19]) / TICKS if fields else 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def huge_pages(pids: list[int]) -> float:
    """Return MiB of anonymous memory in huge pages."""
    return sum(_rollup(pid).get("AnonHugePages", 0.0) for pid in pids)


def proportional(pids: list[int]) -> Memory:
    """Sum up PSS beside RSS: a page that several processes map counts for each by its share. Dearer than `memory`."""
    return sum(map(_proportional, pids), Memory())


def _proportional(pid: int) -> Memory:
    mib = _rollup(pid)
    return Memory(
        rss=mib.get("Rss", 0.0),
        anonymous=mib.get("Anonymous", 0.0),
        pss=mib.get("Pss", 0.0),
    )


def _rollup(pid: int) -> dict[str, float]:
    """Return MiB by name; the first line is the range of addresses."""
    lines = _read(pid, "smaps_rollup").splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, *_ in fields}


def usage(root: int) -> Usage:
    """Sum up a process, its living descendants, and those that have ended and been waited for."""
    # The name, in parentheses, may hold anything. After it field 3 comes first.
    fields = _read(root, "stat").rpartition(")")[2].split()
    if not fields:
        return Usage()
    minor, minor_ended, major, major_ended = map(int, fields[7:11])
    ticks = sum(map(int, fields[11:15]))
    own = Usage(
        ticks / TICKS, minor + minor_ended, major + major_ended, _switches(root)
    )
    return sum(map(usage, children(root)), own)


def _switches(pid: int) -> int:
    """Return how often the threads of a process gave up a CPU, or lost it."""
    return sum(
        int(line.split()[1])
        for thread in _threads(pid)
        for line in _read(pid, f"task/{thread}/status").splitlines()
        if "ctxt_switches" in line
    )


def children(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads forked them."""
    return [
        int(child)
        for thread in _threads(pid)
        for child in _read(pid, f"task/{thread}/children").split()
    ]


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Sampler:
    """Samples memory on a thread while it is entered."""

    def __init__(
        self,
        pids: Callable[[], list[int]],
        measure: Callable[[list[int]], Memory] = memory,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self.samples: list[Sample] = []
        self._pids = pids
        self._measure = measure
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, began: float, ended: float) -> list[Memory]:
        """Return what was sampled in a stretch of time."""
        return [s.memory for s in self.samples if began <= s.when <= ended]

    def _run(self) -> None:
        while True:
            self.samples.append(Sample(time.monotonic(), self._measure(self._pids())))
            if self._stop.wait(self._interval):
                return
