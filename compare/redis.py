"""The tests of Redis, with glibc's malloc: an event loop, forks that save, replicas, pub/sub, blocked clients."""

from __future__ import annotations

import functools
import os
import re
import shutil
import threading
from pathlib import Path

from compare import sources
from compare.unit import FAIL, OK, SKIP, Unit

QUICK = [
    "unit/auth",
    "unit/protocol",
    "unit/networking",
    "unit/info",
    "unit/multi",
    "unit/pubsub",
    "unit/quit",
]
# Not psync2-reg: which of its tests run is drawn by chance, so two plain runs differ.
FULL = [
    "integration/replication-psync",
    "integration/replication",
    "integration/replication-2",
    "integration/replication-3",
    "integration/replication-buffer",
    "integration/block-repl",
    "integration/failover",
    "integration/aof",
    "integration/rdb",
    "integration/shutdown",
    "integration/logging",
    "integration/redis-cli",
    "integration/redis-benchmark",
    *QUICK,
    "unit/pubsubshard",
    "unit/other",
    "unit/expire",
    "unit/introspection",
    "unit/introspection-2",
    "unit/limits",
    "unit/obuf-limits",
    "unit/wait",
    "unit/pause",
    "unit/querybuf",
    "unit/pendingquerybuf",
    "unit/tracking",
    "unit/shutdown",
    "unit/client-eviction",
    "unit/scripting",
    "unit/latency-monitor",
    "unit/slowlog",
    "unit/acl",
    "unit/keyspace",
]
# Under their load a line for each trim makes a stderr of many megabytes, and Redis's own test driver, which searches the
# whole of it again and again, comes to nothing else.
CHATTY = ("integration/replication", "unit/obuf-limits")
BUILT = ["redis-server", "redis-cli", "redis-benchmark"]
# The server under other names: what it does depends on how it is called.
LINKS = ["redis-sentinel", "redis-check-rdb", "redis-check-aof"]
LINE = re.compile(
    r"^\[(ok|err|exception|ignore|skip|timeout)\]: (.*?)(?: \(\d+ ms\))?$", re.MULTILINE
)
OUTCOMES = {"ok": OK, "ignore": SKIP, "skip": SKIP}
FIRST_PORT, PORTS = 21_111, 200
_LOCK = threading.Lock()


class File(Unit):
    """One file of tests."""

    suite = "redis"

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name)
        self.port = port
        self.may_log = not name.startswith(CHATTY)

    def prepare(self) -> None:
        """Build Redis."""
        with _LOCK:
            build()

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Run the whole file in any case: its tests build upon each other."""
        tree = build()
        shutil.copytree(tree / "tests", scratch / "tests")
        shutil.copy(tree / "redis.conf", scratch)
        (scratch / "src").mkdir()
        for program in BUILT:
            (scratch / "src" / program).symlink_to(tree / "src" / program)
        for link in LINKS:
            (scratch / "src" / link).symlink_to(tree / "src" / "redis-server")
        return [
            *("tclsh", "tests/test_helper.tcl", "--single", self.name, "--clients"),
            *("1", "--baseport", str(self.port), "--portcount", str(PORTS)),
            *("--durable", "--dont-clean", "--timeout", "200"),
        ]

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Read the lines that say how each test ended."""
        return [
            # What an expectation got instead follows the name of its test.
            (name.partition(" in tests/")[0], OUTCOMES.get(result, FAIL))
            for result, name in LINE.findall(output)
        ]

    def logs(self, scratch: Path) -> list[Path]:
        """Return the stderr of each server."""
        return list(scratch.glob("tests/tmp/*/stderr"))


@functools.cache
def build() -> Path:
    """Build Redis, once."""
    tree = sources.source("redis")
    if not all((tree / "src" / name).exists() for name in BUILT):
        sources.need("make", "cc", "tclsh")
        jobs = f"-j{os.cpu_count() or 1}"
        how = ["MALLOC=libc", "OPTIMIZATION=-O1", "BUILD_TLS=no", "USE_SYSTEMD=no"]
        # Redis's top Makefile hands each target to a make of its own in src, and those would run side by side there.
        sources.call(["make", "-C", "src", jobs, *how, *BUILT], tree)
    return tree


def units(quick: bool) -> list[Unit]:
    """Return one unit for each file, each with ports of its own."""
    files = QUICK if quick else FULL
    return [
        File(name, FIRST_PORT + PORTS * number) for number, name in enumerate(files)
    ]
