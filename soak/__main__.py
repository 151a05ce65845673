"""Rounds of load, kill, reload and quiet, and what must be true in each quiet moment."""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.services import Services
from soak.load import OF_APP, OF_LISTS, Load, Traffic
from soak.servers import (
    EVERY_SECOND,
    OF_CPYTHON,
    SETTINGS,
    SMALL,
    Application,
    Gunicorn,
    Nginx,
    Server,
    lists,
)

ROUND_SECONDS = 12
KILL_AT, RELOAD_AT = 3, 7
# How long after a kill or a reload its failures may come: a reload lets old workers finish.
AFTERMATH_SECONDS = {"kill": 2, "reload": 16}
CLIENTS = 4
# gunicorn's workers look for a closed connection once a second.
SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Kind:
    """What is served, to whom, and what the library is told."""

    settings: dict[str, str]
    application: Application = SMALL
    traffic: Traffic = OF_APP
    # Trims may wait for the interpreter: what a worker that was killed answered last was not counted.
    delayed: bool = False


@dataclass
class Result:
    """What one soak gave."""

    events: list[tuple[float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # At the end of each round, per server: all descriptors and KB of its processes.
    descriptors: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[str, int] = field(default_factory=dict)
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    exact: int = 0
    uncertain: int = 0


def soak(library: Path | None, kind: Kind, seconds: float, directory: Path) -> Result:
    """Run the rounds; the library's counts are looked at where there is one."""
    result, rng = Result(), random.Random(1)
    gunicorn = Gunicorn(directory, library, kind.settings, kind.application)
    servers: list[Server] = [gunicorn]
    loads: list[Load] = []
    try:
        servers.append(Nginx(directory, library, kind.settings, gunicorn.port))
        loads = [
            Load(server.port, kind.traffic, CLIENTS, 100 * n)
            for n, server in enumerate(servers)
        ]
        end = time.monotonic() + seconds
        number = 0
        while number < 2 or time.monotonic() < end:
            # Every fourth round is undisturbed, and the others take the servers in turn.
            disturbed = None if number % 4 == 3 else servers[number % 2]
            _round(loads, disturbed, rng, result)
            _settle(servers, library, result, number)
            number += 1
            _progress(library, number, servers, loads, result)
    finally:
        for load in loads:
            load.stop()
        for server in reversed(servers):
            server.stop()
    if library and not kind.delayed:
        _check_ended(servers, result)
    for server, load in zip(servers, loads, strict=True):
        result.answered[server.name] = load.tally.answered
        result.failures[server.name] = _sort_out(load, result)
    return result


def _round(
    loads: list[Load], disturbed: Server | None, rng: random.Random, result: Result
) -> None:
    started = time.monotonic()
    for load in loads:
        load.resume()
    for moment, kind in ((KILL_AT, "kill"), (RELOAD_AT, "reload")):
        time.sleep(max(0, started + moment - time.monotonic()))
        if disturbed:
            result.events.append((time.monotonic(), kind))
            if kind == "kill":
                os.kill(rng.choice(disturbed.workers()), signal.SIGKILL)
            else:
                disturbed.reload()
    time.sleep(max(0, started + ROUND_SECONDS - time.monotonic()))
    for load in loads:
        load.pause()


def _settle(
    servers: list[Server], library: Path | None, result: Result, number: int
) -> None:
    """Wait until nothing moves any more; then counts must be exact, descriptors few and memory flat."""
    for server in servers:
        deadline = time.monotonic() + SETTLE_SECONDS
        before, wrong = None, ["?"]
        while time.monotonic() < deadline:
            time.sleep(0.3)
            now = {pid: _descriptors(pid) for pid in _processes(server)}
            wrong = _miscounted(server) if library else []
            if now == before and len(now) == 3 and not wrong:
                break
            before = now
        else:
            result.problems.append(
                f"{server.name}, round {number}: no rest within {SETTLE_SECONDS} s: "
                f"descriptors {before}, {wrong}"
            )
        if library:
            result.exact += len(server.workers())
        result.descriptors[server.name].append(sum(now.values()))
        result.memory[server.name].append(sum(map(_anonymous, now)))


def _miscounted(server: Server) -> list[str]:
    answered, counted = server.answered(), server.counted()
    return [
        f"process {pid}: {answered[pid]} answered, {counted.get(pid, 0)} counted"
        for pid in server.workers()
        if answered[pid] != counted.get(pid, 0)
    ]


def _check_ended(servers: list[Server], result: Result) -> None:
    """Check the workers that ended under load: what they answered last, they had no chance to report."""
    for server in servers:
        answered, counted = server.answered(), server.counted()
        for pid in answered.keys() | counted.keys():
            difference = answered[pid] - counted.get(pid, 0)
            result.uncertain += abs(difference)
            if abs(difference) > server.at_once:
                result.problems.append(
                    f"{server.name} process {pid}: {answered[pid]} answered, {counted.get(pid, 0)} counted"
                )


def _sort_out(load: Load, result: Result) -> dict[str, int]:
    """Count the failures after a kill, after a reload, and those that nothing explains."""
    kinds = {"kill": 0, "reload": 0, "other": 0}
    for when, what in load.tally.failures:
        kind = "other"
        for event, name in result.events:
            if 0 <= when - event <= AFTERMATH_SECONDS[name]:
                kind = name
        kinds[kind] += 1
        result.examples.append(f"after {kind}: {what}")
    return kinds


def _processes(server: Server) -> list[int]:
    return [server.process.pid, *server.workers()]


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _anonymous(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def _progress(
    library: Path | None,
    number: int,
    servers: list[Server],
    loads: list[Load],
    result: Result,
) -> None:
    parts = [
        f"{server.name} {load.tally.answered} answered, {load.tally.aborted} left, "
        f"{len(load.tally.failures)} failed, {result.descriptors[server.name][-1]} descriptors, "
        f"{result.memory[server.name][-1] / 1024:.1f} MB"
        for server, load in zip(servers, loads, strict=True)
    ]
    way = "preloaded" if library else "plain"
    print(f"{way}, round {number}: {'; '.join(parts)}", flush=True)


def conclude(plain: Result, preloaded: Result) -> list[str]:
    """Return everything that is not as it should be."""
    problems = [*plain.problems, *preloaded.problems]
    for name, failures in preloaded.failures.items():
        if failures["other"]:
            problems.append(f"{name}: {failures['other']} failures without a reason")
        for kind in ("kill", "reload"):
            events = [
                sum(what == kind for _, what in result.events)
                for result in (preloaded, plain)
            ]
            # As many for each kill or reload as in the plain run, and a few by chance.
            usual = plain.failures[name][kind] / max(1, events[1]) * events[0]
            if failures[kind] > 2 * usual + 3:
                problems.append(
                    f"{name}: {failures[kind]} failures in {events[0]} times {kind}, plain {usual:.1f}"
                )
        for what, series, room in (
            ("descriptors", preloaded.descriptors[name], 0),
            ("KB", preloaded.memory[name], 1024),
        ):
            third = max(1, len(series) // 3)
            first = statistics.median(series[:third])
            last = statistics.median(series[-third:])
            if last > first * 1.1 + room:
                problems.append(f"{name}: {what} grow: {series}")
    return problems


def _kind(arguments: argparse.Namespace, stack: ExitStack) -> Kind:
    if arguments.lists:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        services = stack.enter_context(Services(Path(scratch)))
        application = lists(services.database, services.rest_framework)
        return Kind(SETTINGS | EVERY_SECOND, application, OF_LISTS, delayed=True)
    if arguments.cpython:
        return Kind(SETTINGS | OF_CPYTHON, delayed=True)
    return Kind(SETTINGS)


def main() -> int:
    """Soak plain for a third of the time, then preloaded for all of it."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="default: 15")
    parser.add_argument(
        "--cpython",
        action="store_true",
        help="with AUTOTRIM_POOLS=auto and AUTOTRIM_GC=auto: trims may wait a second then, and what "
        "workers that are killed answered last is not counted",
    )
    parser.add_argument(
        "--lists",
        action="store_true",
        help="lists of Django REST framework in PostgreSQL, and a trim with pools and garbage every second",
    )
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes <= 0:
        parser.error("--minutes: more than 0")
    if not arguments.library:
        return 0
    # SIGTERM ends it as Ctrl-C does: with its servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = []
    with ExitStack() as stack:
        kind = _kind(arguments, stack)
        for library, seconds in (
            (None, 20 * arguments.minutes),
            (arguments.library, 60 * arguments.minutes),
        ):
            with tempfile.TemporaryDirectory(prefix="soak-") as directory:
                results.append(soak(library, kind, seconds, Path(directory)))
    plain, preloaded = results
    for way, result in (("plain", plain), ("preloaded", preloaded)):
        print(f"{way}: answered {result.answered}, failed {result.failures}")
        for example in sorted(set(result.examples))[:8]:
            print(f"  {example}")
    print(
        f"counts: exact in {preloaded.exact} looks at a resting worker; "
        f"{preloaded.uncertain} answers of workers that ended under load not reported"
    )
    problems = conclude(plain, preloaded)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("failed" if problems else "no difference, no leak, no growth")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
