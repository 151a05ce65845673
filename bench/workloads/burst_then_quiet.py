"""Memory 2, 10 and 60 seconds after a burst, with no request in between."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench import client, sampler, trims
from bench.client import Outcome
from bench.sampler import Sampler
from bench.server import Server
from bench.variants import OTHERS, PAIR, TRIGGERS, VARIANTS, Variant
from bench.workloads.base import Bench, Run, Timing, live, thinned, trim_figures
from bench.workloads.rows import Gunicorn

BURST_REQUESTS = 600
AFTER_SECONDS = (2, 10, 60)
QUICK_SECONDS = (2, 10)
# Longer than it takes to sample once more.
MARGIN = 0.2


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


@dataclass(frozen=True)
class Resting:
    """A server that has had its burst; its results come when it has rested for long enough."""

    stack: ExitStack
    server: Server
    variant: Variant
    samples: Sampler
    burst: Outcome
    moments: tuple[int, ...]

    @property
    def due(self) -> float:
        """When it will have rested."""
        return self.burst.ended + self.moments[-1] + MARGIN

    def close(self) -> None:
        """Stop the server."""
        self.stack.close()

    def finish(self) -> Run:
        """Wait, stop the server, return the figures."""
        burst, server, samples = self.burst, self.server, self.samples
        with self.stack:
            _sleep_until(self.due)
            result: Run = {
                "requests": burst.answered,
                "failed": burst.failed,
                "dropped": burst.dropped,
                "errors": burst.errors,
                "peak_mib": max(s.memory.rss for s in samples.samples),
                "end_mib": samples.between(0, burst.ended)[-1].rss,
                "samples": thinned(samples, burst.began),
            }
            for moment in self.moments:
                sampled = samples.between(0, burst.ended + moment)
                result[f"after_{moment}s_mib"] = sampled[-1].rss
            time_s = time.monotonic() - burst.began
            result |= trim_figures(trims.read(server.log), time_s)
            if self.variant.glibc:
                server.trim_at_rest()
                result["rest_mib"] = sampler.memory(server.pids()).rss
            result |= live(server, self.variant)
            return result


@dataclass(frozen=True)
class BurstThenQuiet(Gunicorn):
    """A quiet server costs no CPU: the next variant's burst comes while this one rests."""

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run keeps the others waiting."""
        return 5.0

    def calibrate(self, bench: Bench) -> Run:
        """Nothing depends on the throughput."""
        return {}

    def run(self, bench: Bench, name: str, calibration: Run) -> Resting:
        """Send the burst; what is returned waits for the quiet."""
        variant = VARIANTS[name]
        launch = self.launch(bench, variant)
        moments = QUICK_SECONDS if bench.quick else AFTER_SECONDS
        with ExitStack() as stack:
            server = stack.enter_context(bench.server(launch, variant))
            samples = stack.enter_context(Sampler(server.pids))
            burst = client.send(self.phase(launch, BURST_REQUESTS, 1, 60))
            # The first moment is not to be disturbed by the start of the next server.
            _sleep_until(burst.ended + moments[0] + MARGIN)
            return Resting(stack.pop_all(), server, variant, samples, burst, moments)


BURST_THEN_QUIET = BurstThenQuiet(
    "burst-then-quiet",
    "gunicorn gthread, 8 threads: memory after a burst of 600 requests",
    dict.fromkeys((*PAIR, *OTHERS, *TRIGGERS, "patch"), 2),
    timing=Timing(open=0.0),
    worker="gthread",
    arguments=("--threads", "8"),
    quick_variants=(*PAIR, "jemalloc"),
)
