"""Buffers that are reused in every request: what a frozen mmap threshold makes slow."""

from __future__ import annotations

import random

from bench.server import Launch, gunicorn
from bench.services import free_port
from bench.variants import BUDGETS, OTHERS, PAIR, Variant
from bench.workloads.base import PYTHON, SHORT, Bench, Workload


class LargeBuffers(Workload):
    """gunicorn gthread and NumPy."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return gunicorn's command."""
        port = free_port()
        app = "bench.apps.buffers:wsgi"
        command = gunicorn(PYTHON, port, "gthread", app, "--threads", "8")
        return Launch(command, port)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for 200 KB to 8 MB, small ones as often as large ones."""
        rng = random.Random(seed)
        sizes = (round(200 * 40 ** rng.random()) for _ in range(count))
        return [f"/buffers?kb={size}" for size in sizes]


LARGE_BUFFERS = LargeBuffers(
    "large-buffers",
    "gunicorn gthread, 8 threads, NumPy on buffers of 200 KB to 8 MB in every request",
    dict.fromkeys(PAIR, 3) | dict.fromkeys((*OTHERS, *BUDGETS), 1),
    timing=SHORT,
    connections=4,
    quick_variants=(*PAIR, "trim-threshold"),
)
