"""The servers that the demo knows how to start, each with one process that serves."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from demo import pulp, rows
from demo.load import Kind
from demo.options import ROOT
from live import floor

# The scripts beside the interpreter: the processes are named as in production.
PROGRAMS = Path(sys.executable).parent
# Port 0: the kernel picks a free one, so nobody can take it between choice and bind.
BIND = ("--bind", "127.0.0.1:0", "--workers", "1")
# Longer than any pause of the client: no connection closes while a request is on its way.
KEEP_ALIVE = ("--keep-alive", "30")
WORKERS = {
    "sync": ["--worker-class", "sync", "demo.app:wsgi"],
    "gthread": ["--worker-class", "gthread", "--threads", "8", "demo.app:wsgi"],
    "gevent": ["--worker-class", "gevent", "demo.app:wsgi"],
    # uvicorn's own uvicorn.workers is deprecated in favour of this package.
    "uvicorn": ["--worker-class", "uvicorn_worker.UvicornWorker", "demo.app:asgi"],
}
# Its own kind of rows.
PULP = Kind(
    status="/pulp/api/v3/status/",
    burst="/pulp/api/v3/users/?limit={count}",
    rows=pulp.USERS,
    # The link to the next page names the host, and its port differs between the runs.
    headers={"Authorization": f"Basic {pulp.CREDENTIALS}", "Host": "localhost"},
    # It tells how much of the disk is free.
    status_varies=True,
)


@dataclass(frozen=True)
class Program:
    """How to start a server, and what to ask it for."""

    name: str
    # What a plot says RSS is of.
    process: str
    versions: str
    command: list[str]
    # Not the caller's: gunicorn reads a gunicorn.conf.py from it.
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    # The process that serves is its child.
    forks: bool = False
    # Has its runtime collect garbage.
    tidy: int = floor.TIDY_SIGNAL
    load: Kind = field(default_factory=Kind)


@contextmanager
def prepared(server: str, worker: str, directory: Path) -> Iterator[Program]:
    """Make what a server needs, and give the way to start it."""
    match server:
        case "gunicorn":
            yield gunicorn(worker, directory)
        case "uvicorn":
            yield _uvicorn(directory)
        case "puma":
            yield _puma(directory)
        case "node":
            yield _node(directory)
        case "pulp":
            # PostgreSQL has a user of its own, who has to get through.
            directory.chmod(0o755)
            with pulp.running(directory / "pulp") as (programs, environment):
                yield _pulp(programs, environment, directory)


def gunicorn(worker: str, directory: Path) -> Program:
    """Return how to start gunicorn with one worker; rows come from SQLite."""
    command = [str(PROGRAMS / "gunicorn"), *BIND, *KEEP_ALIVE]
    return Program(
        name=f"gunicorn {worker}",
        process=f"a gunicorn {worker} worker",
        versions=f"gunicorn {version('gunicorn')}, Python {platform.python_version()}",
        command=[*command, "--pythonpath", str(ROOT), *WORKERS[worker]],
        directory=directory,
        environment=_database(directory),
        forks=True,
    )


def _uvicorn(directory: Path) -> Program:
    command = [str(PROGRAMS / "uvicorn"), "demo.app:asgi", "--app-dir", str(ROOT)]
    command += ["--port", "0", "--no-access-log", "--timeout-keep-alive", "30"]
    return Program(
        name="uvicorn",
        process="uvicorn",
        versions=f"uvicorn {version('uvicorn')}, Python {platform.python_version()}",
        command=command,
        directory=directory,
        environment=_database(directory),
    )


def _puma(directory: Path) -> Program:
    command = ["puma", "--no-config", "--environment", "production"]
    command += ["--threads", "8:8", "--bind", "tcp://127.0.0.1:0"]
    return Program(
        name="Puma, 8 threads",
        process="Puma",
        versions=f"Puma {_said('puma', '--version').split()[-1]}, Ruby {_said('ruby', '-e', 'print RUBY_VERSION')}",
        command=[*command, str(ROOT / "demo" / "app.ru")],
        directory=directory,
        environment=_lines(directory),
    )


def _node(directory: Path) -> Program:
    return Program(
        name="Node",
        process="Node",
        versions=f"Node {_said('node', '--version').removeprefix('v')}",
        command=["node", str(ROOT / "demo" / "app.js")],
        directory=directory,
        environment=_lines(directory),
        tidy=floor.TIDY_SIGNAL_OF_NODE,
    )


def _pulp(programs: Path, environment: dict[str, str], directory: Path) -> Program:
    ask = "from importlib.metadata import version; print(version('pulpcore'))"
    return Program(
        name="pulpcore-api",
        process="a pulpcore-api worker",
        versions=f"pulpcore {_said(str(programs / 'python'), '-c', ask)}, Python {platform.python_version()}",
        command=[str(programs / "pulpcore-api"), *BIND],
        directory=directory,
        environment=environment,
        forks=True,
        load=PULP,
    )


def _database(directory: Path) -> dict[str, str]:
    database = directory / "rows.sqlite3"
    rows.create(database)
    return {"DEMO_DATABASE": str(database)}


def _lines(directory: Path) -> dict[str, str]:
    lines = directory / "rows.jsonl"
    rows.write_lines(lines)
    return {"DEMO_LINES": str(lines)}


def _said(*command: str) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
