"""Task workers, which take their work from Redis and listen at no port: Celery and Sidekiq, which index documents of JSON."""

from __future__ import annotations

import os
import time

from bench import ROOT, sampler
from bench.server import Launch, Server
from bench.variants import Variant
from bench.workloads import frameworks
from bench.workloads.base import PYTHON, SHORT, Bench, Workload, mixed_rows
from bench.workloads.native_threads import Program

# A worker lives for hours. The library looks at processes that accept nothing from their fifth second on: a run begins when it does.
GROWN_UP_SECONDS = 6.0
# As many as it has unless it is told.
SIDEKIQ_THREADS = 10
# They wait for tasks two seconds at a time: a wait that begins when there was nothing to do for a second does so within three.
SIDEKIQ_QUIET_SECONDS = 4.0


class Worker(Workload):
    """Small tasks, and in one of 30 an index of a document of 100 to 1,000 rows, of half a MB to 5."""

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        return mixed_rows(count, seed)

    def settle(self, server: Server) -> None:
        """Wait until all of its processes are old enough."""
        time.sleep(max(0.0, GROWN_UP_SECONDS - min(map(sampler.age, server.pids()))))

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes."""
        return super().seconds(variant, quick) + GROWN_UP_SECONDS

    def round_seconds(self, quick: bool) -> float:
        """Estimate how long a round at part load takes."""
        return super().round_seconds(quick) + GROWN_UP_SECONDS


class Celery(Worker):
    """Celery with its usual pool, of forked processes, here one: it does the tasks, which its parent takes from Redis."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the worker's command."""
        queue = bench.services.queue("celery")
        command = [
            *(str(PYTHON.with_name("celery")), "--app", "bench.apps.index_celery"),
            *("worker", "--pool", "prefork", "--concurrency", "1"),
            *("--loglevel", "WARNING"),
        ]
        variables = {
            "BENCH_DATABASE": bench.services.database,
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": queue.url,
        }
        return Launch(command, queue.port, variables, queue=queue)


class Sidekiq(Worker, Program):
    """Sidekiq, one process."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the worker's command."""
        queue = bench.services.queue("sidekiq")
        command = [
            *("sidekiq", "--environment", "production"),
            *("--concurrency", str(SIDEKIQ_THREADS)),
            *("--require", os.fspath(ROOT / "bench" / "apps" / "index_sidekiq.rb")),
        ]
        variables = {
            "BENCH_DATABASE": bench.services.database,
            "REDIS_URL": queue.url,
        }
        return Launch(command, queue.port, variables, forks=False, queue=queue)


TASKS = (
    Celery(
        "tasks-celery",
        "Celery, prefork with one child, 4 clients, tasks from Redis: PostgreSQL rows as JSON, read again and indexed",
        frameworks.VARIANTS,
        group="tasks",
        timing=SHORT,
        connections=4,
        in_quick=False,
    ),
    Sidekiq(
        "tasks-sidekiq",
        f"Sidekiq, {SIDEKIQ_THREADS} threads, {SIDEKIQ_THREADS} clients, tasks from Redis: PostgreSQL rows as JSON, read again and indexed",
        {n: c for n, c in frameworks.VARIANTS.items() if n != "python-malloc"}
        # What its users set.
        | {"arenas-2": 1},
        group="tasks",
        timing=SHORT,
        connections=SIDEKIQ_THREADS,
        quiet=SIDEKIQ_QUIET_SECONDS,
        in_quick=False,
        program="sidekiq",
        package="ruby-sidekiq",
    ),
)
