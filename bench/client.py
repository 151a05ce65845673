"""The load: one phase of requests, sent by a few connections, each answer timed. A process of its own.

Reads the phase as JSON from standard input and writes what came of it as JSON to standard output. Times are those of
CLOCK_MONOTONIC, which all processes share. Closed loop: each connection sends its next request when it has its answer.
Open loop: requests are due at moments of their own, whatever the server does, and a latency begins when its request was
due: a stall is charged to every request that it delays. Event streams: each connection asks once, and what counts as a
request's answer is an event.
"""

from __future__ import annotations

import gc
import http.client
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from bench.queues import Queue

TIMEOUT_SECONDS = 120
GIVE_UP = (
    50  # failures in a row; a server that is gone must not make the benchmark hang
)
PIECE = 1 << 20
# How long event streams stay open when the last event is here: longer than anybody looks at the quiet.
STAY_SECONDS = 5.0
# Two buckets of the histogram are one percent apart.
BUCKET = math.log(1.01)


@dataclass(frozen=True)
class Phase:
    """What to send: each target is a path, in the order in which they are sent."""

    port: int
    targets: list[str]
    connections: int
    seconds: float  # no request is sent later than this
    rate: float = 0.0  # requests due per second; 0 = closed loop
    headers: dict[str, str] = field(default_factory=dict)
    keep_alive: bool = True
    # What asks in place of this program, for servers that speak no HTTP: run for each request, the target last.
    command: list[str] = field(default_factory=list)
    # Where the targets are put instead, for workers: a request is a task then, and is answered when it is done.
    queue: Queue | None = None
    # Each connection subscribes to its share of the targets: the server sends an event for each of them by itself, when it is due or,
    # in a closed loop, when the one before it has been taken.
    streams: bool = False


@dataclass
class Outcome:
    """What came of it. Latencies are milliseconds."""

    began: float = 0.0
    ended: float = 0.0
    answered: int = 0
    # Of them, by path without query.
    paths: dict[str, int] = field(default_factory=Counter)
    bytes: int = 0
    # Connections that ended without an answer to a request; it was sent once more, as HTTP allows for GET.
    dropped: int = 0
    # Requests without a good answer.
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    # How many latencies fell into each bucket; see `bucket`.
    histogram: dict[int, int] = field(default_factory=dict)


def bucket(milliseconds: float) -> int:
    """Return the number of the bucket that holds a latency."""
    return round(math.log(max(milliseconds, 0.001)) / BUCKET)


def milliseconds(number: int) -> float:
    """Return the middle of a bucket."""
    return math.exp(number * BUCKET)


def percentile_of(histogram: Counter[int], percent: float) -> float | None:
    """Return a percentile in milliseconds, to one percent; None of an empty histogram."""
    rank = histogram.total() * percent / 100
    seen = 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= rank:
            return milliseconds(number)
    return None


def percentile(ordered: list[float], percent: float) -> float:
    """Return a value of a sorted list (nearest rank); 0 of an empty one."""
    return (
        ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0
    )


class Load:
    """The connections of one phase."""

    def __init__(self, phase: Phase) -> None:
        self.outcome = Outcome()
        self._phase = phase
        self._latencies: list[float] = []
        self._lock = threading.Lock()
        self._next = 0
        self._in_a_row = 0
        self._open: list[http.client.HTTPResponse] = []
        rng = random.Random(len(phase.targets))
        self._due = []
        moment = 0.0
        for _ in phase.targets if phase.rate else ():
            moment += rng.expovariate(phase.rate)
            self._due.append(moment)
        # Made before the clock runs.
        every = phase.connections if phase.streams else 0
        self._plans = [self._plan(first, every) for first in range(every)]

    def run(self) -> Outcome:
        """Send everything; return when the last answer is here."""
        one = self._subscribe if self._phase.streams else self._connection
        threads = [
            threading.Thread(target=one, args=(number,))
            for number in range(self._phase.connections)
        ]
        self.outcome.began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcome = self.outcome
        outcome.ended = time.monotonic()
        ordered = sorted(self._latencies)
        outcome.answered = len(ordered)
        outcome.p50, outcome.p99 = percentile(ordered, 50), percentile(ordered, 99)
        outcome.max = ordered[-1] if ordered else 0.0
        outcome.histogram = dict(sorted(Counter(map(bucket, ordered)).items()))
        return outcome

    def _take(self) -> tuple[str, float] | None:
        """Wait for the next request; return its target and when it was due."""
        with self._lock:
            number = self._next
            self._next += 1
            if number >= len(self._phase.targets) or self._in_a_row >= GIVE_UP:
                return None
        now = time.monotonic()
        due = self.outcome.began + self._due[number] if self._due else now
        if due > now:
            time.sleep(due - now)
        if time.monotonic() > self.outcome.began + self._phase.seconds:
            return None
        return self._phase.targets[number], due

    def _connection(self, _: int) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._phase.port, timeout=TIMEOUT_SECONDS
        )
        while request := self._take():
            target, due = request
            try:
                size = self._ask(connection, target)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._lock:
                    self.outcome.failed += 1
                    self._in_a_row += 1
                    if len(self.outcome.errors) < 5:
                        self.outcome.errors.append(f"{target}: {error!r}")
                continue
            self._answered(target, due, size)
        connection.close()

    def _answered(self, target: str, due: float, size: int) -> None:
        latency = 1_000 * (time.monotonic() - due)
        with self._lock:
            self._in_a_row = 0
            self._latencies.append(latency)
            self.outcome.paths[target.partition("?")[0]] += 1
            self.outcome.bytes += size

    def _plan(self, first: int, every: int) -> str:
        """Return what a connection subscribes to, an event a line: seconds from the beginning, and its target."""
        targets = self._phase.targets[first::every]
        due = self._due[first::every] or [0.0] * len(targets)
        pairs = zip(due, targets, strict=True)
        return "".join(f"{moment:.6f} {target}\n" for moment, target in pairs)

    def _subscribe(self, first: int) -> None:
        """Ask once, and take every event: one for each so many targets."""
        every = self._phase.connections
        targets = self._phase.targets[first::every]
        due = [self.outcome.began + moment for moment in self._due[first::every]]
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._phase.port, timeout=TIMEOUT_SECONDS
        )
        received = 0
        try:
            before = time.monotonic()
            path = f"/events?began={self.outcome.began}"
            plan = self._plans[first]
            connection.request("POST", path, plan, self._phase.headers)
            stream = connection.getresponse()
            if stream.status != 200:
                raise http.client.HTTPException(f"status {stream.status}")
            for size in events(stream, len(targets)):
                moment = due[received] if due else before
                self._answered(targets[received], moment, size)
                received += 1
                before = time.monotonic()
                if before > self.outcome.began + self._phase.seconds:
                    connection.close()
                    return
            self._open.append(stream)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self._lock:
                # Nobody sends the rest again.
                self.outcome.failed += len(targets) - received
                self.outcome.errors.append(f"event {received}: {error!r}")

    def stay(self) -> None:
        """Leave the streams open when this process has ended: a child of it holds them for a while."""
        if self._open and not os.fork():
            for number in (0, 1, 2):  # nobody waits for what it says
                os.close(number)
            time.sleep(STAY_SECONDS)
            os._exit(0)

    def _ask(self, connection: http.client.HTTPConnection, target: str) -> int:
        if self._phase.command:
            return _run([*self._phase.command, target])
        if self._phase.queue:
            return self._phase.queue.ask(target)
        reused = connection.sock is not None
        try:
            connection.request("GET", target, headers=self._phase.headers)
            response = connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            connection.close()
            with self._lock:
                self.outcome.dropped += 1
            if not reused:
                raise
            return self._ask(connection, target)
        size = len(response.read())
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        if not self._phase.keep_alive:
            connection.close()
        return size


def events(stream: http.client.HTTPResponse, count: int) -> Iterator[int]:
    """Return the size of each of so many events when it is here: each is one line, and an empty one."""
    size = lines = 0
    for _ in range(count):
        while lines < 2:
            piece = stream.read1(PIECE)
            if not piece:
                raise http.client.IncompleteRead(b"")
            size += len(piece)
            lines += piece.count(b"\n")
        yield size
        # What came with it is the next one's, but for its size.
        size, lines = 0, lines - 2


def _run(command: list[str]) -> int:
    """Run what asks; return how many bytes it got."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        size = sum(map(len, iter(lambda: process.stdout.read(PIECE), b"")))
    if process.returncode or not size:
        raise http.client.HTTPException(f"{command[0]}: status {process.returncode}")
    return size


def send(phase: Phase) -> Outcome:
    """Run the phase in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=json.dumps(asdict(phase)),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"the client failed: {result.stderr}")
    outcome = Outcome(**json.loads(result.stdout))
    outcome.histogram = {int(key): count for key, count in outcome.histogram.items()}
    return outcome


def main() -> None:
    """Run the phase that comes from standard input."""
    given = json.load(sys.stdin)
    given["queue"] = Queue(**given["queue"]) if given["queue"] else None
    load = Load(Phase(**given))
    # The client's own pauses must not look like the server's.
    gc.disable()
    sys.setswitchinterval(0.0005)
    outcome = load.run()
    load.stay()
    json.dump(vars(outcome), sys.stdout)


if __name__ == "__main__":
    main()
