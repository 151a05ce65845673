"""Clients: bounded load, and now and then one that leaves in the middle."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

# The paths of tests/servers/app.py, with the length of the answer where it is fixed.
PATHS = {
    "/small": 6,
    "/big": 5 << 20,
    "/chunked": None,
    "/file": None,
    "/objects": 93_320,
}
WEIGHTS = [30, 1, 6, 4, 4]
UPLOAD = b"x" * 100_000
PAUSE_SECONDS = 0.01
TIMEOUT_SECONDS = 120
REQUESTS_PER_CONNECTION = 20
ABORT_SHARE = 0.03
RESET = struct.pack("ii", 1, 0)


@dataclass
class Tally:
    """What all clients of one server saw."""

    answered: int = 0
    aborted: int = 0
    retried: int = 0
    # When, and what went wrong.
    failures: list[tuple[float, str]] = field(default_factory=list)


class Load:
    """A few client threads on one port, with a gate that stops them between two requests."""

    def __init__(self, port: int, clients: int, seed: int) -> None:
        self.tally = Tally()
        self._port = port
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._open = threading.Event()
        self._idle = [threading.Event() for _ in range(clients)]
        self._threads = [
            threading.Thread(
                target=self._client, args=(random.Random(seed + number), idle)
            )
            for number, idle in enumerate(self._idle)
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def resume(self) -> None:
        """Let the clients send."""
        for idle in self._idle:
            idle.clear()
        self._open.set()

    def pause(self) -> None:
        """Wait until every client has its answer and has closed its connection."""
        self._open.clear()
        for idle in self._idle:
            idle.wait(2 * TIMEOUT_SECONDS)

    def stop(self) -> None:
        """End the clients."""
        self._end.set()
        self._open.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def _client(self, rng: random.Random, idle: threading.Event) -> None:
        connection, sent = None, 0
        while not self._end.is_set():
            if not self._open.is_set() or sent >= REQUESTS_PER_CONNECTION:
                if connection:
                    connection.close()
                connection, sent = None, 0
            if not self._open.is_set():
                idle.set()
                self._open.wait()
                continue
            if rng.random() < ABORT_SHARE:
                self._abort(rng)
                continue
            path = rng.choices([*PATHS, "/upload"], [*WEIGHTS, 3])[0]
            connection = self._request(connection, path)
            sent = sent + 1 if connection else 0
            time.sleep(PAUSE_SECONDS)
        if connection:
            connection.close()

    def _request(
        self, connection: http.client.HTTPConnection | None, path: str
    ) -> http.client.HTTPConnection | None:
        reused = connection is not None
        connection = connection or http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=TIMEOUT_SECONDS
        )
        problem = None
        started = False
        try:
            if path == "/upload":
                connection.request("POST", path, UPLOAD)
            else:
                connection.request("GET", path)
            response = connection.getresponse()
            started = True
            body = response.read()
            expected = PATHS.get(path)
            if response.status != 200 or (expected and len(body) != expected):
                problem = f"{path}: {response.status}, {len(body)} bytes"
        except (OSError, http.client.HTTPException) as error:
            problem = f"{path}: {error!r}"
        if problem is None:
            with self._lock:
                self.tally.answered += 1
            return connection
        connection.close()
        if reused and not started:
            # The server may close an idle connection at any time: every client tries once more.
            with self._lock:
                self.tally.retried += 1
            return self._request(None, path)
        with self._lock:
            self.tally.failures.append((time.monotonic(), problem))
        return None

    def _abort(self, rng: random.Random) -> None:
        """Leave: in the middle of the request, before the answer, or in the middle of it; politely or not."""
        path = rng.choices(["/small", "/big", "/chunked"], [2, 2, 1])[0]
        request = f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()
        if rng.random() < 0.3:
            request = b"POST /upload HTTP/1.1\r\nHost: soak\r\nContent-Length: 100000\r\n\r\nxxx"
        try:
            with socket.create_connection(("127.0.0.1", self._port), 5) as client:
                client.settimeout(5)
                client.sendall(
                    request[
                        : rng.choice([10, len(request), len(request), len(request)])
                    ]
                )
                time.sleep(rng.choice([0, 0, 0.002, 0.02]))
                if rng.random() < 0.3 and request.endswith(b"\r\n\r\n"):
                    client.recv(1000)
                if rng.random() < 0.5:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except OSError:
            # The server was faster; that is no failure of a request.
            pass
        with self._lock:
            self.tally.aborted += 1
