"""Clients: bounded load, and now and then one that leaves in the middle."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

UPLOAD = b"x" * 100_000
PAUSE_SECONDS = 0.01
TIMEOUT_SECONDS = 120
REQUESTS_PER_CONNECTION = 20
ABORT_SHARE = 0.03
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Traffic:
    """What clients ask for, and how often compared with each other."""

    paths: dict[str, int]
    # What they leave in the middle of.
    abandoned: dict[str, int]
    upload: str | None = None
    # Each server has another answer; every other path's is as long as it was the first time, plain or preloaded.
    varying: frozenset[str] = frozenset()
    lengths: dict[str, int] = field(default_factory=dict)


# tests/servers/app.py
OF_APP = Traffic(
    paths={
        "/small": 30,
        "/big": 1,
        "/chunked": 6,
        "/file": 4,
        "/objects": 4,
        "/upload": 3,
    },
    abandoned={"/small": 2, "/big": 2, "/chunked": 1},
    upload="/upload",
    varying=frozenset({"/file"}),
)
# bench/apps/articles_rest.py
OF_LISTS = Traffic(
    paths={"/status": 10, "/articles?count=100": 6, "/articles?count=1000": 2},
    abandoned={"/status": 2, "/articles?count=1000": 1},
)


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

    def __init__(self, port: int, traffic: Traffic, clients: int, seed: int) -> None:
        self.tally = Tally()
        self._traffic = traffic
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
            path = _choose(rng, self._traffic.paths)
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
            if path == self._traffic.upload:
                connection.request("POST", path, UPLOAD)
            else:
                connection.request("GET", path)
            response = connection.getresponse()
            started = True
            body = response.read()
            if response.status != 200 or not self._has_usual_length(path, body):
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

    def _has_usual_length(self, path: str, body: bytes) -> bool:
        if path in self._traffic.varying:
            return True
        with self._lock:
            return self._traffic.lengths.setdefault(path, len(body)) == len(body)

    def _abort(self, rng: random.Random) -> None:
        """Leave: in the middle of the request, before the answer, or in the middle of it; politely or not."""
        path = _choose(rng, self._traffic.abandoned)
        request = f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()
        upload = self._traffic.upload
        if upload and rng.random() < 0.3:
            request = f"POST {upload} HTTP/1.1\r\nHost: soak\r\nContent-Length: 100000\r\n\r\nxxx".encode()
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


def _choose(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
