"""gunicorn and nginx, and what they and the library say of each of their processes."""

from __future__ import annotations

import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
THREADS = 4
# At every chance, and a line for each trim: it says how many requests were counted.
SETTINGS = {
    "AUTOTRIM_INTERVAL": "1",
    "AUTOTRIM_IDLE": "10ms",
    "AUTOTRIM_GROWTH": "64K",
    "AUTOTRIM_OVERHEAD": "0",
    # Requests in flight are no reason to wait: each trim reports the count.
    "AUTOTRIM_DEFER": "1ms",
    "AUTOTRIM_LOG": "debug",
    # A trim in quiet may wait for these, up to a second.
    "AUTOTRIM_POOLS": "off",
    "AUTOTRIM_GC": "off",
}
# What reaches into CPython, as it is by default.
OF_CPYTHON = {"AUTOTRIM_POOLS": "auto", "AUTOTRIM_GC": "auto"}
# All of it every second.
EVERY_SECOND = {
    "AUTOTRIM_INTERVAL": "0",
    "AUTOTRIM_IDLE": "1s",
    "AUTOTRIM_PERIOD": "1s",
    "AUTOTRIM_POOLS": "auto",
    "AUTOTRIM_GC": "python",
}
COUNTED = re.compile(r"^autotrim: pid=(\d+) .*event=trim .*?requests=(\d+) ")
# Process, bytes sent, target.
ACCESS = re.compile(r"^access <?(\d+)>? (\d+|-) (\S+)$")
NGINX = """
daemon off;
{user}
worker_processes 2;
# Not a file: nginx would put it in the place of descriptor 2.
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    log_format soak 'access $pid $bytes_sent $request_uri';
    access_log {directory}/access.log soak;
    {temporary}
    keepalive_timeout 30s;
    server {{
        listen 127.0.0.1:{port};
        location = /small {{ root {directory}/files; }}
        location = /file {{ root {directory}/files; }}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_next_upstream off;
        }}
    }}
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Server:
    """A master and its workers."""

    name: str
    # Requests that can be answered at the same time in one worker.
    at_once: int
    variables: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, directory: Path, library: Path | None, settings: Mapping[str, str]
    ) -> None:
        self.directory = directory / self.name
        self.directory.mkdir()
        self.port = free_port()
        self.access = self.directory / "access.log"
        self.stderr = self.directory / "stderr.log"
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", **self.variables}
        if library:
            environment |= {"LD_PRELOAD": str(library), **settings}
        with self.stderr.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(
                        f"{self.name} did not start:\n{self.stderr.read_text()[-2000:]}"
                    ) from None
                time.sleep(0.05)

    def command(self) -> list[str]:
        """Return what starts it."""
        raise NotImplementedError

    def workers(self) -> list[int]:
        """Return the workers that run now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(map(int, children.read_text().split()))

    def reload(self) -> None:
        """Ask the master for new workers."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Stop it, and whatever is left of its session."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def answered(self) -> collections.Counter[int]:
        """Return how many requests each process answered, by its access log.

        A client that left before the first byte got no answer. What gunicorn sends with sendfile it logs as nothing.
        """
        result: collections.Counter[int] = collections.Counter()
        for line in self.access.read_text(errors="replace").splitlines():
            if match := ACCESS.match(line):
                pid, sent, target = match.groups()
                if sent not in ("0", "-") or (
                    target == "/file" and self.name == "gunicorn"
                ):
                    result[int(pid)] += 1
        return result

    def counted(self) -> dict[int, int]:
        """Return how many requests the library had counted in each process when it last said so."""
        result: dict[int, int] = {}
        for line in self.stderr.read_text(errors="replace").splitlines():
            if match := COUNTED.match(line):
                pid, requests = map(int, match.groups())
                result[pid] = max(requests, result.get(pid, 0))
        return result


@dataclass(frozen=True)
class Application:
    """What gunicorn serves."""

    name: str
    directory: Path
    variables: dict[str, str] = field(default_factory=dict)


SMALL = Application("app:wsgi", ROOT / "tests" / "servers")


def lists(database: str, rest_framework: str) -> Application:
    """Return lists in this PostgreSQL database; Python finds Django REST framework in that directory."""
    variables = {"BENCH_DATABASE": database, "PYTHONPATH": rest_framework}
    return Application("bench.apps.articles_rest:wsgi", ROOT, variables)


class Gunicorn(Server):
    """Two gthread workers."""

    name = "gunicorn"
    at_once = THREADS

    def __init__(
        self,
        directory: Path,
        library: Path | None,
        settings: Mapping[str, str],
        application: Application,
    ) -> None:
        self.application = application
        self.variables = application.variables
        super().__init__(directory, library, settings)

    def command(self) -> list[str]:
        """Return the command line; the access log names the process that answered."""
        return [
            str(Path(sys.executable).with_name("gunicorn")),
            *("--bind", f"127.0.0.1:{self.port}", "--workers", "2"),
            *("--worker-class", "gthread", "--threads", str(THREADS)),
            *("--keep-alive", "30", "--graceful-timeout", "15"),
            *("--pythonpath", str(self.application.directory), "--log-level", "error"),
            *("--access-logfile", str(self.access)),
            *("--access-logformat", "access %(p)s %(B)s %(U)s"),
            self.application.name,
        ]


class Nginx(Server):
    """Two workers: files of its own, and gunicorn behind it."""

    name = "nginx"
    # Each of the clients.
    at_once = 16

    def __init__(
        self,
        directory: Path,
        library: Path | None,
        settings: Mapping[str, str],
        upstream: int,
    ) -> None:
        self.upstream = upstream
        super().__init__(directory, library, settings)

    def command(self) -> list[str]:
        """Write the configuration and return the command line."""
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if not nginx:
            raise RuntimeError("nginx is missing: scripts/packages installs it")
        files = self.directory / "files"
        files.mkdir()
        (files / "small").write_bytes(b"hello\n")
        (files / "file").write_bytes(b"a file\n" * 1000)
        temporary = "\n    ".join(
            f"{name}_temp_path {self.directory}/{name};" for name in TEMPORARY
        )
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            NGINX.format(
                user="user root;" if os.geteuid() == 0 else "",
                directory=self.directory,
                temporary=temporary,
                port=self.port,
                upstream=self.upstream,
            )
        )
        return [nginx, "-e", "stderr", "-p", str(self.directory), "-c", "nginx.conf"]
