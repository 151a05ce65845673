"""A server under one variant: started, asked until it answers, stopped with all its processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench import ROOT, sampler
from bench.queues import Queue
from bench.variants import Variant
from live import floor
from live.floor import Live

START_SECONDS = 120
STOP_SECONDS = 10
# What would make two runs differ from each other, or from what the report says.
DROPPED = (
    "LD_PRELOAD",
    "GLIBC_TUNABLES",
    "GUNICORN_CMD_ARGS",
    "PYTHON",
    "RUBY",
    "NODE",
)
DROPPED_FAMILIES = (
    "AUTOTRIM_",
    "MALLOC_",
    "MEMORY_PRESSURE_",
    "MIMALLOC_",
    "TCMALLOC_",
)


class ServerError(Exception):
    """The server did not start, or did not stay."""


@dataclass(frozen=True)
class Launch:
    """How to start a server of one workload, before the variant has its say."""

    command: list[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    forks: bool = True  # the processes that serve are its children
    # What is asked for until it answers with 200; empty = until the port takes connections, where it is no HTTP.
    ready: str = "/status"
    # What it takes its tasks from, where it is a worker and listens at no port: it is ready when it has done one.
    queue: Queue | None = None
    # The signal on which its runtime collects garbage, if it has one that can: Node knows no real-time signals.
    tidy: int = floor.TIDY_SIGNAL
    # A directory of a memory control group to start it in.
    cgroup: Path | None = None


def environment(
    variant: Variant, preload: list[Path], extra: dict[str, str]
) -> dict[str, str]:
    """Return the environment of a server: the caller's, less what would disturb, plus what the variant says."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*DROPPED, *DROPPED_FAMILIES))
    }
    if variant.library:
        kept["AUTOTRIM_LOG"] = "debug"
    if variant.patched:
        kept["BENCH_PATCHED"] = "1"
    tidy = floor.environment(extra.get("PYTHONPATH", ""))
    preloaded = {"LD_PRELOAD": ":".join(map(str, preload))}
    return kept | extra | tidy | variant.environment | preloaded


class Server:
    """A running server, while it is entered."""

    def __init__(self, launch: Launch, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._launch = launch
        self._environment = environment

    def __enter__(self) -> Self:
        launch = self._launch
        command = launch.command
        if launch.cgroup:
            # The shell joins the group and becomes the server.
            join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
            command = ["sh", "-c", join, str(launch.cgroup), *command]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                # Not the caller's directory: gunicorn reads a gunicorn.conf.py from it.
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches this program alone, which then stops the server.
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def root(self) -> int:
        """The process that was started."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Return the processes that serve now."""
        return sampler.children(self.root) if self._launch.forks else [self.root]

    def trim_at_rest(self) -> None:
        """Have glibc's heap trimmed in every process that serves, and wait until that is over."""
        floor.trim(self.pids())

    def tidy_up(self) -> float | None:
        """Have every process that serves collect its garbage twice; return MiB that CPython's pools hold free then."""
        return floor.tidy_up(self.pids(), self.log, self._launch.tidy)

    def live(self) -> Live | None:
        """Return what is live, at rest, at the end of a run; None where malloc is not glibc's."""
        return floor.live(self.pids(), self.log, self._launch.tidy)

    def error(self, what: str) -> ServerError:
        """Return an exception that says what happened, with the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ServerError("\n".join([f"{what}; the end of its log:", *lines]))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._is_ready():
                return
            if self._process.poll() is not None:
                raise self.error(f"{self._launch.command[0]} ended at start")
            if time.monotonic() > deadline:
                raise self.error(f"{self._launch.command[0]} does not answer")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        if self._launch.queue:
            return self._launch.queue.is_served()
        address = ("127.0.0.1", self._launch.port)
        try:
            if not self._launch.ready:
                with socket.create_connection(address, timeout=START_SECONDS):
                    return True
            connection = http.client.HTTPConnection(*address, timeout=START_SECONDS)
            with contextlib.closing(connection):
                connection.request("GET", self._launch.ready)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _stop(self) -> None:
        everyone = [self.root, *sampler.children(self.root)]
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after a second Ctrl-C, too
            for pid in everyone if self._process.poll() is None else ():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self._process.wait()


def gunicorn(
    python: Path, port: int, worker: str, app: str, *more: str, workers: int = 1
) -> list[str]:
    """Return the command of a gunicorn."""
    return [
        # The script beside the interpreter: the process is named as in production.
        str(python.with_name("gunicorn")),
        *("--bind", f"127.0.0.1:{port}"),
        *("--workers", str(workers), "--worker-class", worker),
        # Longer than any pause of the client: no connection closes while a request is on its way.
        *("--keep-alive", "30", "--pythonpath", str(ROOT), "--log-level", "warning"),
        *more,
        app,
    ]


def node(command: list[str], port: int, environment: dict[str, str]) -> Launch:
    """Return how to start a Node, which knows no real-time signals."""
    return Launch(
        command, port, environment, forks=False, tidy=floor.TIDY_SIGNAL_OF_NODE
    )
