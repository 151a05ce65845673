"""What all workloads share.

At full load one run is a server, a warm-up, a closed phase, a rest, and a trim at rest. At part load variants serve at the same time
(bench/together.py).
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench import client, sampler, trims
from bench.client import Outcome, Phase
from bench.sampler import Sampler
from bench.server import Launch, Server, environment
from bench.services import Services
from bench.variants import VARIANTS, Variant

PYTHON = Path(sys.executable)
QUIET_SECONDS = 2.0
# Start, trim at rest and stop.
START_SECONDS = 2.4
# How much longer than on a plain server a closed phase may take before it is cut.
PATIENCE = 2.5
# Samples in the raw files are so far apart.
PLOT_SECONDS = 0.1
Run = dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """How long the phases take on a plain server, in seconds; 0 = there is none."""

    warm_up: float = 1.0
    closed: float = 4.0
    # Of each round at part load.
    open: float = 30.0

    def quick(self) -> Timing:
        """Enough to see that it works."""
        return Timing(0.3, min(self.closed, 3.0) / 3, min(self.open, 2.0))


# Of workloads that stand beside the main ones: all of them are to be done in three hours.
SHORT = Timing(open=12.0)


@dataclass(frozen=True)
class Bench:
    """What a workload needs to run."""

    services: Services
    library: Path
    quick: bool
    log: Callable[[str], None]

    def server(self, launch: Launch, variant: Variant) -> Server:
        """Return the server of a workload under a variant."""
        # Not named after the port: workers have none of their own.
        log = self.services.scratch / f"server-{time.monotonic_ns()}.log"
        preload = self.services.preload(variant, self.library)
        return Server(launch, environment(variant, preload, launch.environment), log)


class Later(Protocol):
    """A run whose result comes later: a server at rest costs nothing, and others may be measured meanwhile."""

    @property
    def due(self) -> float:
        """When it is over, by CLOCK_MONOTONIC."""

    def finish(self) -> Run:
        """Wait, stop the server, return the figures."""

    def close(self) -> None:
        """Stop the server."""


class Skipped(Exception):
    """This machine cannot run the workload; says why."""


@dataclass(frozen=True)
class Workload:
    """One kind of server under one kind of load."""

    name: str
    title: str
    # Variants, and how often each is repeated.
    variants: dict[str, int]
    group: str = ""
    connections: int = 8
    timing: Timing = Timing()
    # At part load: the share of the plain server's throughput that each is asked for, and how often.
    rate: float = 0.3
    rounds: int = 10
    # Whether a third can serve beside the pair. Where all CPUs are in use: the pair alone, and in every second round plain and one of the others.
    beside: bool = True
    # Seconds after the closed phase until memory is looked at.
    quiet: float = QUIET_SECONDS
    # With --quick: measured at all unless asked for by name, and which variants.
    in_quick: bool = True
    quick_variants: tuple[str, ...] = ("plain", "defaults", "arenas-1")
    # Sends a new connection for each request: a sync worker has no other.
    keep_alive: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    # So many requests in the closed phase, whatever the throughput; 0 = as its time allows.
    requests: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.name)

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return how to start the server."""
        raise NotImplementedError

    def targets(self, count: int, seed: int) -> list[str]:
        """Return so many request targets; the seed makes them the same for every variant."""
        raise NotImplementedError

    def setting(self, bench: Bench) -> AbstractContextManager[object]:
        """Change the machine for the runs of this workload, and back; raise Skipped where that cannot be."""
        return nullcontext()

    def settle(self, server: Server) -> None:
        """Do what is to be done between a server's start and its load."""

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes."""
        timing = self.timing.quick() if quick else self.timing
        return START_SECONDS + timing.warm_up + timing.closed + self.quiet

    def round_seconds(self, quick: bool) -> float:
        """Estimate how long a round at part load takes."""
        timing = self.timing.quick() if quick else self.timing
        return 2 * START_SECONDS + timing.open

    def phase(self, launch: Launch, count: int, seed: int, seconds: float) -> Phase:
        """Return a closed phase of so many requests."""
        targets = self.targets(max(count, self.connections), seed)
        return Phase(
            launch.port,
            targets,
            self.connections,
            seconds,
            headers=self.headers,
            keep_alive=self.keep_alive,
            queue=launch.queue,
        )

    def open_phase(self, launch: Launch, rate: float, seconds: float) -> Phase:
        """Return an open phase of so many requests a second: for every variant the same, due at the same moments."""
        return Phase(
            launch.port,
            self.targets(max(1, round(rate * seconds)), 3),
            self.connections,
            PATIENCE * seconds,
            rate,
            self.headers,
            self.keep_alive,
            queue=launch.queue,
        )

    def calibrate(self, bench: Bench) -> Run:
        """Measure how many requests a second the plain server answers: it decides how many all variants get."""
        seconds = 1.0 if bench.quick else 3.0
        launch = self.launch(bench, VARIANTS["plain"])
        with bench.server(launch, VARIANTS["plain"]):
            client.send(self.phase(launch, 100, 1, seconds))
            outcome = client.send(self.phase(launch, 100_000, 2, seconds))
        _check(outcome, "plain")
        return {"throughput": outcome.answered / (outcome.ended - outcome.began)}

    def run(self, bench: Bench, name: str, calibration: Run) -> Run | Later:
        """Measure one variant once."""
        variant = VARIANTS[name]
        timing = self.timing.quick() if bench.quick else self.timing
        throughput = calibration["throughput"]
        launch = self.launch(bench, variant)

        def closed(seconds: float, seed: int, requests: int = 0) -> Outcome:
            count = requests or round(throughput * seconds)
            limit = PATIENCE * max(seconds, count / throughput)
            return client.send(self.phase(launch, count, seed, limit))

        with bench.server(launch, variant) as server:
            self.settle(server)
            start = sampler.memory(server.pids())
            with Sampler(server.pids) as samples:
                began = time.monotonic()
                warm = closed(timing.warm_up, 1)
                used = sampler.usage(server.root)
                loaded = time.monotonic()
                flat_out = closed(timing.closed, 2, 0 if bench.quick else self.requests)
                ended = time.monotonic()
                time.sleep(self.quiet)
                quiet = sampler.memory(server.pids())
            # Trims in the quiet time cost as well.
            wall = time.monotonic() - loaded
            used = sampler.usage(server.root) - used
            huge = sampler.huge_pages(server.pids())
            if variant.glibc:
                server.trim_at_rest()
            rest = sampler.memory(server.pids())
            in_use = live(server, variant)
            if not server.pids():
                raise server.error(f"{name}: nobody serves any more")
            log = trims.read(server.log)
        under_load = samples.between(flat_out.began, flat_out.ended)
        _check(flat_out, name)
        answered = flat_out.answered
        return {
            "start_mib": start.rss,
            "mean_mib": _mean([memory.rss for memory in under_load]),
            "mean_anonymous_mib": _mean([memory.anonymous for memory in under_load]),
            "peak_mib": max(memory.rss for memory in under_load),
            "end_mib": samples.between(0, ended)[-1].rss,
            "quiet_mib": quiet.rss,
            "quiet_s": self.quiet,
            "huge_mib": huge,
            "rest_mib": rest.rss if variant.glibc else None,
            **in_use,
            "requests": answered,
            "requests_in_all": answered + warm.answered,
            "paths": Counter(warm.paths) + Counter(flat_out.paths),
            "throughput": flat_out.answered / (flat_out.ended - flat_out.began),
            "cpu_ms_per_request": 1_000 * used.cpu / answered,
            "faults_per_request": used.minor_faults / answered,
            "major_faults": used.major_faults,
            "failed": warm.failed + flat_out.failed,
            "dropped": warm.dropped + flat_out.dropped,
            "errors": [*warm.errors, *flat_out.errors][:3],
            "latency": latencies(flat_out),
            "wall_s": wall,
            **trim_figures(log, time_s=time.monotonic() - began),
            "samples": thinned(samples, began),
        }


def live(server: Server, variant: Variant) -> Run:
    """Return what is live at rest, where that can be known: the processes are not the same afterwards."""
    # Our library has given pools back itself: what they hold free is in memory only without it.
    found = server.live() if variant.glibc and not variant.library else None
    return {
        "live_mib": found.mib if found else None,
        "in_use_mib": found.in_use if found else None,
        "live_collected": found.collected if found else None,
    }


def trim_figures(log: trims.Trims, time_s: float) -> Run:
    """Return what the library did, of the time from the first request on."""
    return {
        "enabled": log.enabled,
        "trims": log.count,
        "counted": log.counted,
        "trim_ms": log.total,
        "longest_trim_ms": log.longest,
        "gc_ms": log.gc,
        "trim_share": log.total / 1_000 / time_s,
        "warnings": log.warnings[:3],
    }


def _check(outcome: Outcome, name: str) -> None:
    if not outcome.answered:
        raise RuntimeError(f"{name}: no request was answered: {outcome.errors}")


def latencies(outcome: Outcome) -> Run:
    return {
        "seconds": outcome.ended - outcome.began,
        "answered": outcome.answered,
        "mib": outcome.bytes / (1 << 20),
        "p50_ms": outcome.p50,
        "p99_ms": outcome.p99,
        "max_ms": outcome.max,
        "histogram": outcome.histogram,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def thinned(samples: Sampler, began: float) -> list[tuple[float, float]]:
    """Return seconds and MiB, far enough apart for a picture."""
    result: list[tuple[float, float]] = []
    for sample in samples.samples:
        seconds = sample.when - began
        if not result or seconds >= result[-1][0] + PLOT_SECONDS:
            result.append((round(seconds, 2), round(sample.memory.rss, 1)))
    return result


def mixed_rows(count: int, seed: int) -> list[str]:
    """Return status requests, and in one of 30 a burst of 100 to 1,000 rows of 1 to 8 KB."""
    rng = random.Random(seed)
    result = []
    for _ in range(count):
        rows = rng.randint(100, 1_000)
        first = rng.randint(1, 5_000 - rows + 1)
        small = rng.randrange(30)
        result.append("/status" if small else f"/rows?first={first}&count={rows}")
    return result
