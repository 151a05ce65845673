"""The command line: which suites, how much of them, and what came out."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import cpython, libuv, node, redis, report, ruby
from compare.judge import Verdict, judge
from compare.run import end_all
from compare.sources import ROOT, TARGET, need
from compare.unit import MissingError, Tally, Unit, Variant

# First the one that takes longest.
SUITES = {
    "libuv": libuv.units,
    "redis": redis.units,
    "node": node.units,
    "collected": node.units_with_collections,
    "cpython": cpython.units,
    "pools": cpython.units_with_pools,
    "ruby": ruby.units,
}
# Those that need a build of the library that gives back all the time.
OFTEN = {"pools", "collected", "ruby"}
WAYS = "plain and preloaded"


def main() -> int:
    """Run what was asked for; 1 if the library makes a difference."""
    arguments = _arguments()
    if not arguments.library:
        return 0
    units = _in_turn([SUITES[suite](arguments.quick) for suite in arguments.suite])
    units = [
        unit for unit in units if not arguments.unit or unit.name in arguments.unit
    ]
    if not units:
        print("compare-programs: no such unit", file=sys.stderr)
        return 2
    # One file throughout, even if it is built anew meanwhile.
    directory = TARGET / "compare"
    directory.mkdir(parents=True, exist_ok=True)
    libraries = _copies(arguments, directory)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _interrupted(number, libraries))
    try:
        verdicts = _judge_all(units, arguments, libraries, directory)
    except MissingError as problem:
        print(f"compare-programs: {problem}", file=sys.stderr)
        return 2
    finally:
        _remove(libraries)
    print(f"\n{report.table(verdicts)}\n")
    report.write(verdicts, directory)
    return _conclude(verdicts)


def _copies(arguments: argparse.Namespace, directory: Path) -> dict[Variant, Path]:
    """Return what each variant preloads."""
    library = _copy(arguments.library, directory / f"libautotrim-{os.getpid()}.so")
    libraries = {Variant.PRELOADED: library, Variant.DEBUG: library}
    if OFTEN & set(arguments.suite):
        copy = directory / f"libautotrim-often-{os.getpid()}.so"
        libraries[Variant.OFTEN] = _copy(_often(), copy)
    return libraries


def _copy(build: Path, copy: Path) -> Path:
    copy.write_bytes(build.read_bytes())
    copy.chmod(0o755)
    return copy


def _often() -> Path:
    """Build the library that gives back all the time, with the cargo that scripts/compare-programs asks for."""
    target = TARGET / "often"
    build = ["cargo", "build", "--quiet", "--release", "--features", "often"]
    subprocess.run([*build, "--target-dir", str(target)], check=True, cwd=ROOT)
    return target / "release" / "libautotrim.so"


def _remove(libraries: dict[Variant, Path]) -> None:
    for library in libraries.values():
        library.unlink(missing_ok=True)


def _interrupted(number: int, libraries: dict[Variant, Path]) -> None:
    """Leave nothing running, and do not wait for the threads."""
    end_all()
    _remove(libraries)
    os._exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/compare-programs",
        description=f"Run the test suites of real programs {WAYS}, and compare the results.",
    )
    parser.add_argument("--quick", action="store_true", help="a part of each suite")
    parser.add_argument(
        *("--suite", "-s"),
        action="append",
        choices=list(SUITES),
        help="only this suite (repeat for more)",
    )
    parser.add_argument(
        *("--unit", "-u"), action="append", help="only this unit of the suites"
    )
    parser.add_argument(
        *("--jobs", "-j"),
        type=int,
        default=os.cpu_count() or 1,
        help="units at the same time (default: one per CPU)",
    )
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs: at least 1")
    arguments.suite = list(dict.fromkeys(arguments.suite or SUITES))
    return arguments


def _in_turn(suites: list[list[Unit]]) -> list[Unit]:
    """Return the first of each suite, then the second: what builds its program does not hold up the others."""
    longest = max(map(len, suites))
    return [
        suite[number]
        for number in range(longest)
        for suite in suites
        if number < len(suite)
    ]


def _variants(unit: Unit, quick: bool) -> list[Variant]:
    if unit.often:
        return [Variant.OFTEN]
    if not unit.may_log:
        return [Variant.PRELOADED]
    # The log is the proof that the library did trim.
    return (
        [Variant.DEBUG]
        if quick and not unit.short
        else [Variant.PRELOADED, Variant.DEBUG]
    )


def _judge_all(
    units: list[Unit],
    arguments: argparse.Namespace,
    libraries: dict[Variant, Path],
    directory: Path,
) -> list[Verdict]:
    started = time.monotonic()
    lock = threading.Lock()
    logs = directory / "logs"
    logs.mkdir(exist_ok=True)
    need("sh")

    def say(line: str) -> None:
        with lock:
            print(f"[{time.monotonic() - started:4.0f} s] {line}", flush=True)

    def one(unit: Unit) -> Verdict:
        variants = _variants(unit, arguments.quick)
        verdict = judge(unit, variants, libraries, logs, say)
        for difference in verdict.differences:
            say(f"{unit}: {difference}")
        return verdict

    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            return list(pool.map(one, units))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _conclude(verdicts: list[Verdict]) -> int:
    bad = 0
    for verdict in verdicts:
        for difference in verdict.differences:
            print(f"{verdict.unit}: {difference}")
        if len(verdict.runs[Variant.PLAIN].outcomes) == 1:
            print(f"{verdict.unit}: ran no test, so this shows nothing")
            bad += 1
        if verdict.noisy:
            print(f"{verdict.unit}: wrote log lines with AUTOTRIM_LOG=off")
        bad += verdict.real
    logging = [verdict for verdict in verdicts if Variant.DEBUG in verdict.runs]
    for suite in {verdict.unit.suite for verdict in logging}:
        mine = [verdict for verdict in logging if verdict.unit.suite == suite]
        if not any(verdict.runs[Variant.DEBUG].trims for verdict in mine):
            print(f"{suite}: the library never trimmed, so this shows nothing")
            bad += 1
    for verdict in verdicts:
        if Variant.OFTEN in verdict.runs:
            bad += _is_no_proof(verdict.unit, verdict.runs[Variant.OFTEN].tally)
    tests = sum(len(verdict.runs[Variant.PLAIN].outcomes) - 1 for verdict in verdicts)
    if not bad:
        print(f"{tests} tests: the same results {WAYS}.")
    return 1 if bad else 0


def _is_no_proof(unit: Unit, tally: Tally) -> bool:
    """Say why a run that gives back all the time shows nothing, if so."""
    lacks = unit.is_proof and not tally.releases
    if lacks:
        print(f"{unit}: nothing was ever given back, so this shows nothing")
    if tally.doubts:
        print(f"{unit}: {tally.doubts} processes found a doubt, and released no more")
    return bool(tally.doubts or lacks)


if __name__ == "__main__":
    sys.exit(main())
