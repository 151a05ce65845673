"""The load: the same requests for every run, sent by a few client threads."""

from __future__ import annotations

import http.client
import random
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from demo import rows

CLIENTS = 8
BURST_EVERY = 30
BURST_ROWS = (100, 1_000)
SEED = 2
TIMEOUT_SECONDS = 120
GIVE_UP = 2 * CLIENTS  # failures; a server that hangs must not make the demo hang


@dataclass(frozen=True)
class Kind:
    """What a server is asked for: status requests, and in between bursts of rows."""

    status: str = "/status"
    burst: str = "/rows?first={first}&count={count}"
    rows: int = rows.ROWS
    headers: dict[str, str] = field(default_factory=dict)
    # Two runs need not get the same bytes.
    status_varies: bool = False


def paths(requests: int, kind: Kind) -> list[str]:
    """Return the request targets; bursts of the demo's own rows have 0.4 to 4.5 MB."""
    rng = random.Random(SEED)

    def path() -> str:
        if rng.randrange(BURST_EVERY):
            return kind.status
        count = rng.randint(*BURST_ROWS)
        first = rng.randint(1, kind.rows - count + 1)
        return kind.burst.format(first=first, count=count)

    return [path() for _ in range(requests)]


class Load:
    """Sends the requests; each client thread has one connection and waits for each answer."""

    def __init__(self, port: int, targets: list[str], kind: Kind) -> None:
        self.latencies: list[float] = []
        self.errors: list[str] = []
        # Of each answer, by position of its request: two runs must get the same bytes.
        self.checksums: list[int | None] = [None] * len(targets)
        self._port = port
        self._kind = kind
        self._total = len(targets)
        self._requests: Iterator[tuple[int, str]] = enumerate(targets)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._clients = [
            threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)
        ]

    def start(self) -> None:
        """Start the clients."""
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        """Let the clients end after the answer they wait for."""
        self._stop.set()

    def running(self) -> bool:
        """Tell whether any client is still at work."""
        return any(client.is_alive() for client in self._clients)

    @property
    def answered(self) -> int:
        """Requests answered so far."""
        return len(self.latencies)

    @property
    def failed(self) -> int:
        """Requests without a good answer; those not sent count as well."""
        return self._total - self.answered

    def _client(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=TIMEOUT_SECONDS
        )
        while not self._stop.is_set() and len(self.errors) < GIVE_UP:
            with self._lock:
                index, target = next(self._requests, (None, ""))
            if index is None:
                break
            started = time.perf_counter()
            try:
                connection.request("GET", target, headers=self._kind.headers)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    raise http.client.HTTPException(f"status {response.status}")
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{target}: {error!r}")
                connection.close()
                continue
            if not (self._kind.status_varies and target == self._kind.status):
                self.checksums[index] = zlib.crc32(body)
            self.latencies.append(time.perf_counter() - started)
        connection.close()
