"""Starts a server on a free port of the loopback interface, and stops it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.programs import Program
from live import floor
from live.floor import Live

START_SECONDS = 120
STOP_SECONDS = 10
# gunicorn, Puma and app.js; uvicorn.
LISTENING = re.compile(r"(?:Listening (?:at:|on)|running on) http://127\.0\.0\.1:(\d+)")


class ServerError(Exception):
    """The server did not start, or did not stay."""


class Server:
    """A running server; `port` and `pid` (of the process that serves) are known once it is entered."""

    def __init__(
        self,
        program: Program,
        log: Path,
        library: Path | None,
        probe: Path | None = None,
    ) -> None:
        self.log = log
        self.program = program
        self.library = library
        self._name = Path(program.command[0]).name
        self._probe = probe
        # What would make the two runs differ from each other, or from what the table says.
        drop = {"LD_PRELOAD", "GUNICORN_CMD_ARGS"}
        kept = {name: value for name, value in os.environ.items() if name not in drop}
        self._environment = kept | program.environment | floor.environment()
        # The probe, which does nothing until it is signalled, is in both.
        if preloads := [str(path) for path in (library, probe) if path]:
            self._environment["LD_PRELOAD"] = ":".join(preloads)
        if library:
            self._environment["AUTOTRIM_LOG"] = "debug"

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.program.command,
                env=self._environment,
                cwd=self.program.directory,
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

    def live(self) -> Live | None:
        """Return what is live, at rest: the process is not the same afterwards. None where there is no probe."""
        if not self._probe:
            return None
        return floor.live([self.pid], self.log, self.program.tidy)

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
        load = self.program.load
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", load.status, headers=load.headers)
                if connection.getresponse().status == 200:
                    return self._serving()
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self._wait(deadline)

    def _serving(self) -> int:
        """Return the process to measure."""
        pid = self._process.pid
        if not self.program.forks:
            return pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) != 1:
            raise self.error(f"{self._name} has {len(children)} workers, not one")
        return int(children[0])

    def _wait(self, deadline: float) -> None:
        if self._process.poll() is not None:
            raise self.error(
                f"{self._name} ended at start with exit code {self._process.returncode}"
            )
        if time.monotonic() > deadline:
            raise self.error(f"{self._name} did not answer within {START_SECONDS} s")
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
