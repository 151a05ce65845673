"""Server-sent events: rows as JSON that are pushed to clients who asked once."""

from __future__ import annotations

import dataclasses

from bench import ROOT
from bench.client import Phase
from bench.server import Launch
from bench.services import free_port
from bench.variants import PAIR, Variant
from bench.workloads.base import PYTHON, SHORT, Bench
from bench.workloads.rows import Rows


class Pushes(Rows):
    """aiohttp, one process. A request of the other workloads is an event here."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the application's own command."""
        port = free_port()
        command = [str(PYTHON), "-m", "bench.apps.pushes_aiohttp", str(port)]
        variables = self.environment(bench) | {"PYTHONPATH": str(ROOT)}
        return Launch(command, port, variables, forks=False)

    def phase(self, launch: Launch, count: int, seed: int, seconds: float) -> Phase:
        """Return a phase in which each event comes as soon as the one before it has been taken."""
        phase = super().phase(launch, count, seed, seconds)
        return dataclasses.replace(phase, streams=True)

    def open_phase(self, launch: Launch, rate: float, seconds: float) -> Phase:
        """Return a phase whose events have their moments."""
        phase = super().open_phase(launch, rate, seconds)
        return dataclasses.replace(phase, streams=True)


PUSHES = Pushes(
    "pushes",
    "aiohttp, server-sent events to 8 clients who asked once and stay, PostgreSQL rows as JSON",
    dict.fromkeys(PAIR, 3)
    | dict.fromkeys(("arenas-1", "trim-threshold", "jemalloc", "patch"), 1),
    timing=SHORT,
    in_quick=False,
)
