"""PostgreSQL rows as JSON: bursts of megabytes between small status requests, on four servers."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench import ROOT
from bench.server import Launch, gunicorn
from bench.services import free_port
from bench.variants import BUDGETS, LAYERS, OTHERS, PAIR, TRIGGERS, Variant
from bench.workloads.base import PYTHON, Bench, Timing, Workload, mixed_rows

SETTINGS = dict.fromkeys(PAIR, 3) | dict.fromkeys((*OTHERS, *BUDGETS, "patch"), 1)
PYTHON_SETTINGS = SETTINGS | dict.fromkeys(("python-malloc", "max-requests"), 2)
GTHREAD = (
    PYTHON_SETTINGS
    | dict.fromkeys((*OTHERS, *LAYERS, "0.1.0"), 2)
    | dict.fromkeys(TRIGGERS, 1)
)


@dataclass(frozen=True)
class Rows(Workload):
    """The load that all of them get."""

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        return mixed_rows(count, seed)

    def environment(self, bench: Bench) -> dict[str, str]:
        """Return the variables that the application needs."""
        return {"BENCH_DATABASE": bench.services.database}


@dataclass(frozen=True)
class Gunicorn(Rows):
    """gunicorn, with one worker unless it says otherwise."""

    worker: str = "sync"
    workers: int = 1
    arguments: tuple[str, ...] = ()
    app: str = "bench.apps.rows:wsgi"

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return gunicorn's command."""
        patched = {
            "sync": "bench.apps.patch.PatchedSyncWorker",
            "gthread": "bench.apps.patch.PatchedThreadWorker",
        }
        worker = patched[self.worker] if variant.patched else self.worker
        port = free_port()
        arguments = (*self.arguments, *variant.gunicorn)
        command = gunicorn(
            PYTHON, port, worker, self.app, *arguments, workers=self.workers
        )
        return Launch(command, port, self.environment(bench))


class Uvicorn(Rows):
    """uvicorn, one process."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return uvicorn's command."""
        port = free_port()
        command = [
            *(str(PYTHON.with_name("uvicorn")), "bench.apps.rows_starlette:app"),
            *("--host", "127.0.0.1", "--port", str(port), "--app-dir", str(ROOT)),
            *("--no-access-log", "--log-level", "warning"),
            *("--timeout-keep-alive", "30"),
        ]
        return Launch(command, port, self.environment(bench), forks=False)


class Puma(Rows):
    """Puma, one process."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return Puma's command."""
        port = free_port()
        command = [
            *("puma", "--no-config", "--silent", "--environment", "production"),
            *("--threads", "8:8", "--bind", f"tcp://127.0.0.1:{port}"),
            os.fspath(ROOT / "bench" / "apps" / "rows.ru"),
        ]
        return Launch(command, port, self.environment(bench), forks=False)


ROWS = (
    Gunicorn(
        "rows-gthread",
        "gunicorn gthread, 8 threads, 8 clients, PostgreSQL rows as JSON",
        GTHREAD,
        worker="gthread",
        arguments=("--threads", "8"),
        quick_variants=(*PAIR, "jemalloc", "arenas-1", "max-requests"),
    ),
    Gunicorn(
        "rows-sync",
        "gunicorn sync, one client, PostgreSQL rows as JSON",
        PYTHON_SETTINGS,
        connections=1,
        keep_alive=False,
    ),
    Uvicorn(
        "rows-uvicorn",
        "uvicorn, Starlette's thread pool, 8 clients, PostgreSQL rows as JSON",
        SETTINGS,
    ),
    Puma(
        "rows-puma",
        "Puma, 8 threads, 8 clients, PostgreSQL rows as JSON",
        SETTINGS,
    ),
)

# The same at other shares of what it can do: there is nothing to measure at full load.
PART_LOAD = tuple(
    Gunicorn(
        f"rows-gthread-{percent}",
        f"gunicorn gthread, 8 threads, PostgreSQL rows as JSON, {percent} % of what it can do",
        {},
        group="part-load",
        timing=Timing(closed=0.0, open=60.0),
        rate=percent / 100,
        rounds=3,
        in_quick=False,
        worker="gthread",
        arguments=("--threads", "8"),
    )
    for percent in (10, 20, 70)
)
