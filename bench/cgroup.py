"""A memory control group of our own, version 1 or 2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
REMOVE_SECONDS = 120


class Unavailable(Exception):
    """No group can be made here; says why."""


@dataclass(frozen=True)
class Group:
    """A group that exists."""

    path: Path
    version: int

    @property
    def peak(self) -> float:
        """The most memory that was ever charged, in MiB."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        return int((self.path / name).read_text()) / (1 << 20)

    @property
    def kills(self) -> int:
        """How often the OOM killer came."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        lines = (self.path / name).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def limit(self, mebibytes: float) -> None:
        """Let nothing in the group go above so much memory, swap included."""
        size = str(int(mebibytes) << 20)
        names = ("memory.max",)
        if self.version == 1:
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        for name in names:
            # Swap is counted only where the kernel was told to.
            if (self.path / name).exists():
                (self.path / name).write_text(size)
        if (self.path / "memory.swap.max").exists():
            (self.path / "memory.swap.max").write_text("0")


@contextmanager
def group() -> Iterator[Group]:
    """Make a group and remove it; raise Unavailable where that cannot be."""
    if os.geteuid():
        raise Unavailable("only root may make a memory control group")
    controllers = MOUNT / "cgroup.controllers"
    version = 2 if controllers.exists() else 1
    parent = MOUNT if version == 2 else MOUNT / "memory"
    path = parent / f"autotrim-bench-{os.getpid()}"
    try:
        if version == 2:
            (MOUNT / "cgroup.subtree_control").write_text("+memory")
        path.mkdir()
    except OSError as error:
        raise Unavailable(f"no memory control group: {error}") from error
    try:
        if not (path / "cgroup.procs").exists():
            raise Unavailable(f"{parent} is no control group")
        yield Group(path, version)
    finally:
        deadline = time.monotonic() + REMOVE_SECONDS
        # Processes that have just ended may still be in it.
        while path.exists():
            try:
                path.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
