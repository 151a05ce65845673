"""gunicorn with --preload: four workers that share what their master had in memory when it forked them.

What counts is PSS: a page that several processes map counts for each by its share, so the sum over master and workers is what
the machine pays. Nothing is collected by hand to learn what is live: CPython's collector writes into each object's header, and
that alone would give every worker a copy of its own. So the variants are compared with plain, and with each other.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass

from bench import client, sampler, trims
from bench.sampler import Sampler
from bench.server import Server
from bench.variants import PAIR, VARIANTS
from bench.workloads.base import (
    QUIET_SECONDS,
    START_SECONDS,
    Bench,
    Run,
    Timing,
    latencies,
    trim_figures,
)
from bench.workloads.rows import Gunicorn

# The load, of what the plain server can answer, and for how long.
SHARE = 0.1
SECONDS = 20.0
QUICK_SECONDS = 4.0
FORK_SECONDS = 10.0
WARM_UP_REQUESTS = 200
# The kernel walks all page tables for it, and who maps or unmaps meanwhile waits.
INTERVAL_SECONDS = 0.5
# One request in so many gets rows, as many as this.
ROWS_EVERY = 10
ROWS = (10, 100)


@dataclass(frozen=True)
class Preload(Gunicorn):
    """A light load of small requests, in an open loop, and the quiet after it."""

    def targets(self, count: int, seed: int) -> list[str]:
        """Return status requests, and a few for rows."""
        rng = random.Random(seed)
        result = []
        for _ in range(count):
            rows = rng.randint(*ROWS)
            first = rng.randint(1, 5_000 - rows + 1)
            small = rng.randrange(ROWS_EVERY)
            result.append("/status" if small else f"/rows?first={first}&count={rows}")
        return result

    def settle(self, server: Server) -> None:
        """Wait until all workers are there: the first may answer before the last is forked."""
        deadline = time.monotonic() + FORK_SECONDS
        while len(server.pids()) < self.workers:
            if time.monotonic() > deadline:
                raise server.error("there are too few workers")
            time.sleep(0.05)

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes."""
        seconds = QUICK_SECONDS if quick else SECONDS
        return START_SECONDS + seconds + QUIET_SECONDS

    def run(self, bench: Bench, name: str, calibration: Run) -> Run:
        """Measure one variant once."""
        variant = VARIANTS[name]
        launch = self.launch(bench, variant)
        seconds = QUICK_SECONDS if bench.quick else SECONDS
        rate = SHARE * calibration["throughput"]
        with bench.server(launch, variant) as server:
            self.settle(server)
            first = time.monotonic()
            # Else a worker's first rows are measured: its connection to the database, and what that imports.
            client.send(self.phase(launch, WARM_UP_REQUESTS, 1, 60))

            def everyone() -> list[int]:
                # The master shares pages with its workers.
                return [server.root, *server.pids()]

            start = sampler.proportional(everyone())
            began = time.monotonic()
            with Sampler(everyone, sampler.proportional, INTERVAL_SECONDS) as samples:
                outcome = client.send(self.open_phase(launch, rate, seconds))
                time.sleep(QUIET_SECONDS)
                quiet = sampler.proportional(everyone())
            log = trims.read(server.log)
            time_s = time.monotonic() - first
        load = samples.between(outcome.began, outcome.ended)
        if not load:
            raise server.error(f"{name}: the load was soon over: {outcome.errors}")
        return {
            "start_pss_mib": start.pss,
            "start_rss_mib": start.rss,
            "mean_pss_mib": statistics.fmean(memory.pss for memory in load),
            "mean_rss_mib": statistics.fmean(memory.rss for memory in load),
            "quiet_pss_mib": quiet.pss,
            "quiet_rss_mib": quiet.rss,
            "requests": outcome.answered,
            "failed": outcome.failed,
            "dropped": outcome.dropped,
            "errors": outcome.errors,
            "latency": latencies(outcome),
            **trim_figures(log, time_s),
            "samples": [
                (round(sample.when - began, 2), round(sample.memory.pss, 1))
                for sample in samples.samples
            ],
        }


PRELOAD = Preload(
    "preload",
    "gunicorn --preload, 4 sync workers on one heap with holes of the start, little load: PSS of all processes",
    dict.fromkeys(PAIR, 3)
    # The application patch would come after 1,024 requests of a worker, which has fewer here.
    | dict.fromkeys(("arenas-1", "trim-threshold", "jemalloc"), 2),
    connections=4,
    timing=Timing(open=0.0),
    in_quick=False,
    quick_variants=PAIR,
    keep_alive=False,
    arguments=("--preload",),
    workers=4,
    app="bench.apps.preloaded:wsgi",
)
