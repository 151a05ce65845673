"""Pulp as it is deployed: pulpcore-api with one worker, PostgreSQL and Redis."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench import ROOT
from bench.server import Launch
from bench.services import free_port
from bench.variants import PAIR, Variant
from bench.workloads.base import Bench, Timing, Workload
from demo.pulp import CREDENTIALS

STATUS = "/pulp/api/v3/status/"
SCHEMA = "/pulp/api/v3/docs/api.json"
LISTS = tuple(
    f"/pulp/api/v3/{name}/?limit=100"
    for name in ("users", "roles", "access_policies", "tasks")
)
START_SECONDS = 4.0


@dataclass(frozen=True)
class Pulp(Workload):
    """The same server; the requests differ."""

    # What is asked for, by its share of the requests.
    weights: tuple[tuple[str, int], ...] = ((STATUS, 1),)

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the command of pulpcore-api."""
        programs, environment = bench.services.pulp
        port = free_port()
        command = [str(programs / "pulpcore-api")]
        if variant.patched:
            patched = ROOT / "bench" / "apps" / "pulp_patched.py"
            command = [str(programs / "python"), str(patched)]
        command += ["--bind", f"127.0.0.1:{port}", "--workers", "1", *variant.gunicorn]
        return Launch(command, port, environment, ready=STATUS)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        names, weights = zip(*self.weights, strict=True)
        return random.Random(seed).choices(names, weights, k=count)

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes: it starts slowly."""
        return super().seconds(variant, quick) + START_SECONDS


def _pulp(name: str, title: str, variants: dict[str, int], **more: object) -> Pulp:
    return Pulp(
        f"pulp-{name}",
        f"pulpcore-api, one worker: {title}",
        variants,
        group="pulp",
        connections=1,
        keep_alive=False,
        headers={"Authorization": f"Basic {CREDENTIALS}"},
        **more,
    )


PULP = (
    _pulp(
        "status",
        "status probes",
        dict.fromkeys(PAIR, 3)
        | dict.fromkeys(("gc", "patch"), 2)
        | dict.fromkeys(("jemalloc", "max-requests"), 1),
        # The patch acts after each 1,024 requests.
        requests=2_100,
        timing=Timing(closed=31.0, open=12.0),
        quick_variants=(*PAIR, "gc"),
    ),
    _pulp(
        "lists",
        "lists of 100 objects",
        dict.fromkeys(PAIR, 3) | {"gc": 2, "jemalloc": 1},
        timing=Timing(warm_up=2.0, closed=8.0, open=12.0),
        weights=tuple((path, 1) for path in LISTS),
        in_quick=False,
        quick_variants=PAIR,
    ),
    _pulp(
        "schema",
        "status probes, and in one of 20 the OpenAPI schema, which leaks",
        dict.fromkeys(PAIR, 2) | {"gc": 1},
        requests=200,
        timing=Timing(closed=12.0, open=0.0),
        weights=((STATUS, 19), (SCHEMA, 1)),
        in_quick=False,
        quick_variants=PAIR,
    ),
)
