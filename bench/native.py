"""Libraries that allocate without the interpreter lock: the time that they take, with the library and without, alternating."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.apps.native import WORK

APPS = Path(__file__).parent / "apps"
# A gem is Ruby's; it needs Debian's ruby-vips.
RUBY = "ruby-vips"
ROLES = ("script", "server")
# What the promise allows.
LIMIT = 1.03


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-native", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--extension", type=Path, required=True, help=argparse.SUPPRESS)
    names = [*WORK, RUBY]
    parser.add_argument("--work", choices=names, action="append", help="only this")
    parser.add_argument(
        "--role",
        choices=ROLES,
        action="append",
        help="only as a script, which serves nothing, or only as a server",
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="of runs, and a plain one (default: 5)"
    )
    parser.add_argument(
        "--size", type=int, default=3, help="how much work (default: 3)"
    )
    options = parser.parse_args()
    options.work = options.work or names
    options.role = options.role or ROLES
    return options


def seconds(command: list[str], environment: Mapping[str, str]) -> float:
    """Run it once; what it says that it took."""
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {result.returncode}")
    return float(result.stdout.split()[-1])


def command_of(work: str, role: str, size: int) -> list[str]:
    """Return what runs it."""
    if work == RUBY:
        return ["ruby", str(APPS / "native.rb"), role, str(size)]
    return [sys.executable, str(APPS / "native.py"), work, role, str(size)]


def row(
    command: list[str], environment: Mapping[str, str], library: Path, pairs: int
) -> list[str]:
    """Measure one piece of work; the cells of its line."""
    preloaded = {**environment, "LD_PRELOAD": str(library), "AUTOTRIM_LOG": "off"}
    # The first run of each brings files into memory.
    seconds(command, environment)
    # Plain once more tells how far equal runs differ.
    variants = {"plain": environment, "ours": preloaded, "again": environment}
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for _ in range(pairs):
        for name in order:
            times[name].append(seconds(command, variants[name]))
        order.append(order.pop(0))

    def ratios(name: str) -> list[float]:
        pairs = zip(times["plain"], times[name], strict=True)
        return [one / plain for plain, one in pairs]

    ours = ratios("ours")
    ratio = statistics.median(ours)
    return [
        f"{statistics.median(times['plain']):.2f} s",
        f"{statistics.median(times['ours']):.2f} s",
        f"{ratio:.2f} x",
        f"{min(ours):.2f}-{max(ours):.2f}",
        f"{statistics.median(ratios('again')):.2f} x",
        "yes" if ratio <= LIMIT else "no",
    ]


def main() -> None:
    """Measure, and print the table."""
    options = parsed()
    console = Console()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AUTOTRIM_", "MALLOC_", "GLIBC_", "LD_"))
    } | {"NATIVE_EXTENSION": str(options.extension)}
    table = Table(
        title=f"{options.pairs} pairs, {os.cpu_count()} CPUs",
        caption="again: plain against plain, so what noise there is",
    )
    for title in ("work", "as"):
        table.add_column(title)
    for title in ("plain", "library", "ratio", "from-to", "again", f"≤ {LIMIT}"):
        table.add_column(title, justify="right")
    before = os.getloadavg()
    everything = [(work, role) for work in options.work for role in options.role]
    for work, role in track(everything, description="measuring", console=console):
        command = command_of(work, role, options.size)
        cells = row(command, environment, options.library, options.pairs)
        table.add_row(work, role, *cells)
    console.print(table)
    load = ["/".join(f"{n:.1f}" for n in each) for each in (before, os.getloadavg())]
    console.print(f"load average before {load[0]}, after {load[1]}")


if __name__ == "__main__":
    main()
