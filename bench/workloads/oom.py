"""A memory limit that the plain server does not keep: who is killed, who serves everything."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import cgroup, client, trims
from bench.cgroup import Group
from bench.client import Outcome
from bench.sampler import Sampler
from bench.variants import OTHERS, PAIR, VARIANTS
from bench.workloads.base import Bench, Run, Skipped, Timing, thinned, trim_figures
from bench.workloads.rows import Gunicorn

REQUESTS = 4_000
QUICK_REQUESTS = 2_500
LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Oom(Gunicorn):
    """gunicorn, master and worker, in a group of their own."""

    @contextmanager
    def setting(self, bench: Bench) -> Iterator[None]:
        """Try whether a group can be made."""
        try:
            with cgroup.group():
                pass
        except cgroup.Unavailable as error:
            raise Skipped(str(error)) from error
        yield

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes."""
        return 4.0 if quick else 9.0

    def calibrate(self, bench: Bench) -> Run:
        """Choose the limit: halfway between what plain and the defaults come to without one."""
        # The first run pays for the files of the program, which are charged to whoever reads them first.
        self._load(bench, "plain", None)
        peaks = {name: self._load(bench, name, None)["group_peak_mib"] for name in PAIR}
        if peaks["defaults"] >= peaks["plain"]:
            raise Skipped(f"no limit lies between them: {peaks}")
        return {
            "limit_mib": sum(peaks.values()) / 2,
            "plain_peak_mib": peaks["plain"],
            "defaults_peak_mib": peaks["defaults"],
        }

    def run(self, bench: Bench, name: str, calibration: Run) -> Run:
        """Serve under the limit."""
        return self._load(bench, name, calibration["limit_mib"])

    def _load(self, bench: Bench, name: str, limit: float | None) -> Run:
        variant = VARIANTS[name]
        requests = QUICK_REQUESTS if bench.quick else REQUESTS
        with cgroup.group() as group:
            if limit:
                group.limit(limit)
            launch = self.launch(bench, variant)
            launch = dataclasses.replace(launch, cgroup=group.path)
            with (
                bench.server(launch, variant) as server,
                Sampler(server.pids) as samples,
            ):
                began = time.monotonic()
                outcome = client.send(self.phase(launch, requests, 1, LIMIT_SECONDS))
                time_s = time.monotonic() - began
                figures = self._figures(group, outcome)
            figures |= trim_figures(trims.read(server.log), time_s)
        return figures | {"samples": thinned(samples, began), "limit_mib": limit}

    @staticmethod
    def _figures(group: Group, outcome: Outcome) -> Run:
        return {
            "requests": outcome.answered,
            "failed": outcome.failed,
            "dropped": outcome.dropped,
            "errors": outcome.errors,
            "oom_kills": group.kills,
            "group_peak_mib": group.peak,
            "max_ms": outcome.max,
        }


OOM = Oom(
    "oom",
    "gunicorn gthread, 8 threads, in a memory control group with a limit",
    dict.fromkeys(PAIR, 3) | dict.fromkeys((*OTHERS, "patch"), 1),
    timing=Timing(open=0.0),
    worker="gthread",
    arguments=("--threads", "8"),
    quick_variants=PAIR,
)
