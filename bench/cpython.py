"""What a quiet CPython holds after its work: plain, with trims alone, with pools released, with garbage collected, and by hand."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, client, quiet
from bench.client import Phase
from bench.server import Launch, Server, environment, gunicorn
from bench.services import Services, free_port
from bench.variants import VARIANTS, register
from bench.workloads.base import PYTHON
from bench.workloads.pulp import CREDENTIALS, LISTS, STATUS

SETTINGS = {
    "plain": "plain",
    "trims alone": "AUTOTRIM_POOLS=off+AUTOTRIM_GC=off",
    "and pools": "AUTOTRIM_POOLS=auto+AUTOTRIM_GC=off",
    "and garbage": "AUTOTRIM_POOLS=auto+AUTOTRIM_GC=auto",
}
# Where pools still hold what is free in them: there it is known what comes off by hand.
UNRELEASED = ("plain", "trims alone")
QUIET_SECONDS = (2, 10)
TASKS = 20
GROWN_UP_SECONDS = 6


@dataclass(frozen=True)
class Application:
    """A server or a worker, and its work."""

    launch: Callable[[Services], Launch]
    work: Callable[[Launch], None]


def ask(targets: list[str], **headers: str) -> Callable[[Launch], None]:
    """Return the work of a server: to answer these, on four connections."""

    def work(launch: Launch) -> None:
        phase = Phase(launch.port, targets, 4, 120, headers=headers, keep_alive=False)
        outcome = client.send(phase)
        if outcome.failed or outcome.answered < len(targets):
            raise SystemExit(f"requests failed: {outcome.errors}")

    return work


def parse(launch: Launch) -> None:
    """Send tasks, and wait for their results; the last one when the worker is old enough to be looked at."""
    import celery  # not before the virtual environment is there

    url = launch.environment["REDIS_URL"]
    app = celery.Celery("parse", broker=url, backend=url)
    for number in range(TASKS):
        if number == TASKS - 1:
            time.sleep(GROWN_UP_SECONDS)
        app.send_task("parse", (50_000,)).get(timeout=120)


def pulp(services: Services) -> Launch:
    """Return pulpcore-api."""
    programs, variables = services.pulp
    port = free_port()
    command = [str(programs / "pulpcore-api"), "--bind", f"127.0.0.1:{port}"]
    return Launch([*command, "--workers", "1"], port, variables, ready=STATUS)


def rest(services: Services) -> Launch:
    """Return the REST framework under gunicorn."""
    port = free_port()
    app = "bench.apps.articles_rest:wsgi"
    command = gunicorn(PYTHON, port, "gthread", app, "--threads", "4")
    variables = {"BENCH_DATABASE": services.database}
    return Launch(command, port, variables | {"PYTHONPATH": services.rest_framework})


def fastapi(_: Services) -> Launch:
    """Return FastAPI under uvicorn."""
    port = free_port()
    command = [
        *(str(PYTHON.with_name("uvicorn")), "bench.apps.items_fastapi:app"),
        *("--port", str(port), "--app-dir", str(ROOT), "--no-access-log"),
    ]
    return Launch(command, port, forks=False)


def aiohttp(_: Services) -> Launch:
    """Return the small objects."""
    port = free_port()
    command = [str(PYTHON), "-m", "bench.apps.states_aiohttp", str(port)]
    return Launch(command, port, forks=False)


def worker(services: Services) -> Launch:
    """Return Celery with one child; it has no port, and Redis' is there."""
    command = [
        *(str(PYTHON.with_name("celery")), "--app", "bench.apps.parse_celery"),
        *("worker", "--concurrency", "1", "--loglevel", "ERROR"),
    ]
    port = services.redis
    url = f"redis://127.0.0.1:{port}/0"
    return Launch(command, port, {"REDIS_URL": url}, ready="")


AUTHORIZATION = {"Authorization": f"Basic {CREDENTIALS}"}
LONG_LISTS = [path.replace("limit=100", "limit=1000") for path in LISTS]
APPLICATIONS = {
    "Pulp, status": Application(pulp, ask([STATUS] * 300, **AUTHORIZATION)),
    "Pulp, lists of 100": Application(pulp, ask([*LISTS] * 10, **AUTHORIZATION)),
    "Pulp, lists of 1,000": Application(pulp, ask(LONG_LISTS * 5, **AUTHORIZATION)),
    "Pulp, mixed": Application(
        pulp, ask([*[STATUS] * 20, *LISTS, *LONG_LISTS] * 4, **AUTHORIZATION)
    ),
    "Django REST framework, 1,000 objects": Application(
        rest, ask(["/articles?count=1000"] * 40)
    ),
    "FastAPI, pydantic": Application(fastapi, ask(["/items?count=5000"] * 40)),
    "aiohttp, small objects": Application(aiohttp, ask(["/update?count=20000"] * 40)),
    "Celery, JSON": Application(worker, parse),
}


def held(
    application: Application, setting: str, library: Path, services: Services
) -> tuple[list[float], float | None]:
    """Return anonymous MiB in quiet, after so many seconds each, and what is left by hand where that can be known."""
    launch = application.launch(services)
    path = filter(None, [str(ROOT), launch.environment.get("PYTHONPATH")])
    variables = launch.environment | {"PYTHONPATH": os.pathsep.join(path)}
    variant = VARIANTS[register(SETTINGS[setting])]
    log = services.scratch / f"server-{time.monotonic_ns()}.log"
    started = environment(variant, services.preload(variant, library), variables)
    with Server(launch, started, log) as server:
        application.work(launch)
        found = quiet.held(server, QUIET_SECONDS)
        return found, quiet.by_hand(server) if setting in UNRELEASED else None


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-cpython", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--application",
        choices=APPLICATIONS,
        action="append",
        metavar="NAME",
        help=f"only this: {'; '.join(APPLICATIONS)}",
    )
    options = parser.parse_args()
    quiet.print_head(SETTINGS, QUIET_SECONDS)
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        for name in options.application or APPLICATIONS:
            found = {
                setting: held(APPLICATIONS[name], setting, options.library, services)
                for setting in SETTINGS
            }
            hand = min(left for _, left in found.values() if left is not None)
            cells = [
                f"{soon:.1f} / {late:.1f} ({late / hand:.2f})"
                for (soon, late), _ in found.values()
            ]
            print(f"| {name} | {' | '.join(cells)} | {hand:.1f} |", flush=True)


if __name__ == "__main__":
    main()
