"""One run: a server, the load, the samples and the log of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from demo import sampler, trimlog
from demo.load import Load
from demo.sampler import Memory, Sample, Sampler
from demo.server import Server
from demo.trimlog import TrimLog
from live.floor import Live

QUIET_SECONDS = 2
# Called ten times a second with the requests answered so far and the RSS.
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Run:
    """What one run gave."""

    name: str
    start: Memory
    end: Memory
    quiet: Memory
    # Of the plain run alone: the library has given CPython's pools back itself.
    live: Live | None
    samples: list[Sample]
    load_seconds: float
    wall_seconds: float
    cpu_seconds: float
    latencies: list[float]
    checksums: list[int | None]
    failed: int
    errors: list[str]
    log: TrimLog


def run(name: str, server: Server, targets: list[str], progress: Progress) -> Run:
    """Start the server, send the load, wait for quiet, find what is live, stop the server."""
    with server:
        load = Load(server.port, targets, server.program.load)
        try:
            start = sampler.memory(server.pid)
            cpu = sampler.cpu_seconds(server.pid)
            started = time.monotonic()
            with Sampler(server.pid, lambda: load.answered) as samples:
                load.start()
                while load.running():
                    time.sleep(0.1)
                    progress(load.answered, sampler.memory(server.pid).rss)
                load_seconds = time.monotonic() - started
                end = sampler.memory(server.pid)
                progress(load.answered, end.rss)
                time.sleep(QUIET_SECONDS)
            quiet = sampler.memory(server.pid)
            # CPU and trims are taken here, too: a trim in the quiet time costs as well.
            wall_seconds = time.monotonic() - started
            cpu_seconds = sampler.cpu_seconds(server.pid) - cpu
            log = trimlog.read(server.log, server.pid)
            return Run(
                name=name,
                start=start,
                end=end,
                quiet=quiet,
                live=None if server.library else server.live(),
                samples=samples.samples,
                load_seconds=load_seconds,
                wall_seconds=wall_seconds,
                cpu_seconds=cpu_seconds,
                latencies=sorted(load.latencies),
                checksums=load.checksums,
                failed=load.failed,
                errors=load.errors,
                log=log,
            )
        except ProcessLookupError:
            raise server.error("the worker died under load") from None
        finally:
            load.stop()
