"""Threads that allocate in parallel, with no interpreter lock between them."""

from __future__ import annotations

import random

from bench.server import Launch
from bench.services import free_port
from bench.variants import OTHERS, PAIR, Variant
from bench.workloads.base import Bench, Workload


class NativeThreads(Workload):
    """cpp-httplib with 8 threads."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the server's command."""
        port = free_port()
        command = [str(bench.services.native_server), str(port)]
        return Launch(command, port, forks=False)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for 5 to 50 rows, and in one of 30 a burst of 100 to 1,000."""
        rng = random.Random(seed)
        result = []
        for _ in range(count):
            burst = not rng.randrange(30)
            rows = rng.randint(100, 1_000) if burst else rng.randint(5, 50)
            result.append(
                f"/rows?first={rng.randint(1, 5_000 - rows + 1)}&count={rows}"
            )
        return result


NATIVE_THREADS = NativeThreads(
    "native-threads",
    "C++ (cpp-httplib, nlohmann's JSON), 8 threads, 8 clients, rows as JSON",
    dict.fromkeys(PAIR, 5) | dict.fromkeys(OTHERS, 3),
)
