"""What is live in processes at rest. No code of the library takes part: it is what the library is measured against.

Each runtime collects its garbage twice, glibc's heap is trimmed, and the tops of all arenas are given back. RSS then, less what CPython's
pools or V8's heap hold free, is live. malloc has handed out less: holes smaller than a page are not to be had by anybody.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# probe.c
TRIM_SIGNAL = signal.SIGRTMIN + 5
TELL_SIGNAL = signal.SIGRTMIN + 6
TOPS_SIGNAL = signal.SIGRTMIN + 8
# by_hand: what has each runtime collect its garbage, and what CPython says of its pools.
BY_HAND = HERE / "by_hand"
TIDY_SIGNAL = signal.SIGRTMIN + 7
TIDY_SIGNAL_OF_NODE = signal.SIGUSR2  # it knows no real-time signals
TIDY_SECONDS = 10
TRIM_SECONDS = 5
TELL_SECONDS = 5
UNUSED_POOLS = re.compile(r"^\s*([\d,]+) unused pools \* (\d+) bytes", re.MULTILINE)
FREE_IN_V8 = re.compile(r"^v8: free=(\d+)$", re.MULTILINE)
IN_USE = re.compile(r"^probe: pid=(\d+) in_use=(\d+)$", re.MULTILINE)
TOPS = re.compile(r"^probe: pid=(\d+) tops$", re.MULTILINE)
PAGE = os.sysconf("SC_PAGESIZE")
# HEAP_MAX_SIZE of glibc's malloc: a heap of an arena that is not the main one begins at a multiple of it.
HEAP = 64 << 20


@dataclass(frozen=True)
class Live:
    """MiB of RSS that nobody could give back, how much of that is in use, and whether garbage was collected before: else it counts as live."""

    mib: float
    in_use: float
    collected: bool


def compiled_probe(directory: Path) -> Path:
    """Make the object to preload."""
    probe = directory / "probe.so"
    compiler = ["cc", "-shared", "-fPIC", "-O2", "-pthread", "-o", str(probe)]
    subprocess.run([*compiler, str(HERE / "probe.c")], check=True)
    return probe


def environment(python_path: str = "") -> dict[str, str]:
    """Return the variables that have each runtime load its script; CPython finds modules at `python_path`, too."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BY_HAND), python_path])),
        "RUBYOPT": f"-r{BY_HAND / 'tidy.rb'}",
        "NODE_OPTIONS": f"--require={BY_HAND / 'tidy.js'}",
    }


def live(pids: list[int], log: Path, tidy: int = TIDY_SIGNAL) -> Live | None:
    """Return what is live: of RSS all that no collection, no release of pools and no trim could give back.

    None where malloc is not glibc's, or the probe is not preloaded. At the end of a run: the processes are not the same afterwards.
    """
    # The signals of the probe would kill a process that is without it.
    if not all(_catches(pid, TELL_SIGNAL) for pid in pids):
        return None
    text = _tidied(pids, log, tidy)
    if not _told(pids, log, TOPS_SIGNAL, TOPS):
        return None
    held = sum(map(_rss, pids))
    handed_out = _handed_out(pids, log)
    if handed_out is None:
        return None
    free = _free_in_pools(text or "") + _free_in_v8(text or "")
    in_use = held - arenas(pids) + handed_out
    return Live(held - free, in_use - free, collected=text is not None)


def tidy_up(pids: list[int], log: Path, tidy: int = TIDY_SIGNAL) -> float | None:
    """Have each process collect its garbage twice; return MiB that CPython's pools hold free then.

    `log` is where they write. None where one of them has no such runtime, or does not come by.
    """
    text = _tidied(pids, log, tidy)
    return None if text is None else _free_in_pools(text)


def _tidied(pids: list[int], log: Path, tidy: int) -> str | None:
    """Have each process collect; return what they write."""
    written = ""
    for pid in pids:
        begin = log.stat().st_size
        if not _catches(pid, tidy):
            return None
        os.kill(pid, tidy)
        deadline = time.monotonic() + TIDY_SECONDS
        while f"tidy pid={pid}\n" not in (text := _text(log, begin)):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        written += text
    return written


def _free_in_pools(text: str) -> float:
    """Return MiB; the first page of each pool is CPython's own."""
    return sum(
        int(number.replace(",", "")) * (int(size) - PAGE) / (1 << 20)
        for number, size in UNUSED_POOLS.findall(text)
    )


def _free_in_v8(text: str) -> float:
    return sum(map(int, FREE_IN_V8.findall(text))) / (1 << 20)


def trim(pids: list[int]) -> None:
    """Have glibc's heap trimmed in each process, and wait until that is over."""
    for pid in pids:
        os.kill(pid, TRIM_SIGNAL)
    before = -1
    deadline = time.monotonic() + TRIM_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = sum(map(_ticks, pids))
        if now == before:
            return
        before = now


def arenas(pids: list[int]) -> float:
    """Return MiB of glibc's arenas that are resident: [heap], and what begins where the heaps of other arenas do."""
    return sum(map(_arenas, pids)) / 1024


def _handed_out(pids: list[int], log: Path) -> float | None:
    """Return MiB that malloc has handed out of its arenas; None where a process does not say."""
    told = _told(pids, log, TELL_SIGNAL, IN_USE)
    return sum(int(size) for _, size in told) / (1 << 20) if told else None


def _told(
    pids: list[int], log: Path, number: int, line: re.Pattern[str]
) -> list[tuple[str, ...]]:
    """Signal each process; return what each writes, nothing where one does not."""
    begin = log.stat().st_size
    for pid in pids:
        os.kill(pid, number)
    deadline = time.monotonic() + TELL_SECONDS
    while time.monotonic() < deadline:
        found = [match.groups() for match in line.finditer(_text(log, begin))]
        if {int(groups[0]) for groups in found} >= set(pids):
            return found
        time.sleep(0.05)
    return []


def _text(log: Path, begin: int) -> str:
    return log.read_bytes()[begin:].decode(errors="replace")


def _catches(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal."""
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", _read(pid, "status"), re.MULTILINE)
    return bool(caught and int(caught[1], 16) >> (number - 1) & 1)


def _rss(pid: int) -> float:
    found = re.search(r"^VmRSS:\s*(\d+) kB$", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _ticks(pid: int) -> int:
    # The name, in parentheses, may hold anything. After it: state is field 3, utime 14, stime 15.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _arenas(pid: int) -> int:
    # Mappings begin with a line "55d0c8e4e000-55d0c8e6f000 rw-p ... [heap]"; the following ones say "Rss:  132 kB".
    total, is_heap = 0, False
    for line in _read(pid, "smaps").splitlines():
        first, *words = line.split()
        if "-" in first:
            start, end = (int(address, 16) for address in first.split("-"))
            is_anonymous = words[0] == "rw-p" and words[-1] == "0"
            # Java's heap may be like that, below 4 GiB.
            is_aligned = start % HEAP == 0 and end - start <= HEAP and start >> 32
            is_heap = words[-1] == "[heap]" or bool(is_anonymous and is_aligned)
        elif first == "Rss:" and is_heap:
            total += int(words[0])
    return total


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
