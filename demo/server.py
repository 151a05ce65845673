"""Starts gunicorn with one worker on a free port of the loopback interface, and stops it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.options import ROOT

START_SECONDS = 120
STOP_SECONDS = 10
LISTENING = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")
WORKERS = {
    "sync": ["--worker-class", "sync", "demo.app:wsgi"],
    "gthread": ["--worker-class", "gthread", "--threads", "8", "demo.app:wsgi"],
    "gevent": ["--worker-class", "gevent", "demo.app:wsgi"],
    # uvicorn's own uvicorn.workers is deprecated in favour of this package.
    "uvicorn": ["--worker-class", "uvicorn_worker.UvicornWorker", "demo.app:asgi"],
}


class ServerError(Exception):
    """The server did not start, or did not stay."""


class Server:
    """A running gunicorn; `port` and `pid` (of its worker) are known once it is entered."""

    def __init__(
        self, worker: str, database: Path, log: Path, library: Path | None
    ) -> None:
        self.log = log
        self._command = [
            # The script beside the interpreter: the process is named as in production.
            str(Path(sys.executable).with_name("gunicorn")),
            # Port 0: the kernel picks a free one, so nobody can take it between choice and bind.
            *("--bind", "127.0.0.1:0", "--workers", "1", "--pythonpath", str(ROOT)),
            # Longer than any pause of the client: no connection closes while a request is on its way.
            *("--keep-alive", "30"),
            *WORKERS[worker],
        ]
        # What would make the two runs differ from each other, or from what the table says.
        drop = {"LD_PRELOAD", "GUNICORN_CMD_ARGS"}
        self._environment = {
            name: value for name, value in os.environ.items() if name not in drop
        }
        self._environment["DEMO_DATABASE"] = str(database)
        # Not the caller's directory: gunicorn reads a gunicorn.conf.py from it.
        self._directory = database.parent
        if library:
            self._environment |= {"LD_PRELOAD": str(library), "AUTOTRIM_LOG": "debug"}

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches this program alone, which then stops the server.
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            self.port = self._listening(deadline)
            self.pid = self._answering(deadline)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def error(self, what: str) -> ServerError:
        """Return an exception that says what happened, with the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ServerError(
            "\n".join(
                [f"{what}; the end of {self.log}:", *(f"  {line}" for line in lines)]
            )
        )

    def _listening(self, deadline: float) -> int:
        while not (match := LISTENING.search(self.log.read_text(errors="replace"))):
            self._wait(deadline)
        return int(match[1])

    def _answering(self, deadline: float) -> int:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/pid")
                return int(json.load(connection.getresponse()))
            except (OSError, http.client.HTTPException, ValueError):
                self._wait(deadline)
            finally:
                connection.close()

    def _wait(self, deadline: float) -> None:
        if self._process.poll() is not None:
            raise self.error(
                f"gunicorn ended at start with exit code {self._process.returncode}"
            )
        if time.monotonic() > deadline:
            raise self.error(f"gunicorn did not answer within {START_SECONDS} s")
        time.sleep(0.05)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after a second Ctrl-C, too
            if self._process.poll() is None:
                os.killpg(
                    self._process.pid, signal.SIGKILL
                )  # its own session: master and worker
                self._process.wait()
