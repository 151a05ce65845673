"""RSS and CPU time of a process, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

INTERVAL_SECONDS = 0.02


@dataclass(frozen=True)
class Memory:
    """Memory of a process, in MiB."""

    rss: float
    anonymous: float
    peak: float


@dataclass(frozen=True)
class Sample:
    """RSS at one moment of the run."""

    seconds: float
    requests: int
    rss: float


def memory(pid: int) -> Memory:
    """Read /proc/PID/status; the peak is the kernel's own, so nothing hides between two samples."""
    fields = dict(line.split(":", 1) for line in _read(pid, "status").splitlines())
    if "VmRSS" not in fields:  # a zombie has no memory
        raise ProcessLookupError(pid)
    rss, anonymous, peak = (
        int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon", "VmHWM")
    )
    return Memory(rss, anonymous, peak)


def cpu_seconds(pid: int) -> float:
    """Read user and system time from /proc/PID/stat, all threads together."""
    # The name, in parentheses, may hold anything. After it: state is field 3, utime 14, stime 15.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


class Sampler:
    """Samples RSS on a thread while it is entered."""

    def __init__(self, pid: int, answered: Callable[[], int]) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._answered = answered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        while True:
            try:
                rss = memory(self._pid).rss
            except ProcessLookupError:  # whoever waits for the answers reports it
                return
            self.samples.append(
                Sample(time.monotonic() - started, self._answered(), rss)
            )
            if self._stop.wait(INTERVAL_SECONDS):
                return
