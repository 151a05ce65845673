"""The demo's load on one gunicorn worker under several settings, alternating, as ratios to the plain run."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from demo import load, measure, programs
from demo.measure import Run
from demo.options import ROOT, WORKERS
from demo.programs import Program
from demo.server import Server

LIBRARY = ROOT / "target" / "release" / "libautotrim.so"
OFF = {"AUTOTRIM_INTERVAL": "0", "AUTOTRIM_IDLE": "0", "AUTOTRIM_GROWTH": "0"}
# Name, environment, and whether the library is preloaded.
VARIANTS: dict[str, tuple[dict[str, str], bool]] = {
    "plain": ({}, False),
    "arenas=1 alone": ({"MALLOC_ARENA_MAX": "1"}, False),
    "defaults": ({}, True),
    "interval alone": (OFF | {"AUTOTRIM_INTERVAL": "1024"}, True),
    "idle alone": (OFF | {"AUTOTRIM_IDLE": "1s"}, True),
    "growth=2M": ({"AUTOTRIM_GROWTH": "2M"}, True),
    "growth=8M": ({"AUTOTRIM_GROWTH": "8M"}, True),
    "growth=16M": ({"AUTOTRIM_GROWTH": "16M"}, True),
    "overhead=2": ({"AUTOTRIM_OVERHEAD": "2"}, True),
    "overhead=4": ({"AUTOTRIM_OVERHEAD": "4"}, True),
    "threshold=0": ({"AUTOTRIM_TRIM_THRESHOLD": "0"}, True),
    "threshold=0 growth=16M": (
        {"AUTOTRIM_TRIM_THRESHOLD": "0", "AUTOTRIM_GROWTH": "16M"},
        True,
    ),
    "arenas=0": ({"AUTOTRIM_ARENAS": "0"}, True),
    "arenas=0 threshold=128K": (
        {"AUTOTRIM_ARENAS": "0", "AUTOTRIM_TRIM_THRESHOLD": "128K"},
        True,
    ),
    "arenas=0 threshold=1M": (
        {"AUTOTRIM_ARENAS": "0", "AUTOTRIM_TRIM_THRESHOLD": "1M"},
        True,
    ),
    "arenas=1 threshold=1M": ({"AUTOTRIM_TRIM_THRESHOLD": "1M"}, True),
}


@dataclass(frozen=True)
class Figures:
    """What one run comes down to."""

    mean: float
    peak: float
    quiet: float
    cpu: float
    p50: float
    p99: float
    trims: float
    share: float

    @staticmethod
    def of(run: Run) -> Figures:
        """Summarise a run; the first fifth of it is warm-up."""
        warm = [
            s.rss
            for s in run.samples
            if run.load_seconds * 0.2 < s.seconds <= run.load_seconds
        ]
        latencies = run.latencies
        return Figures(
            mean=statistics.fmean(warm),
            peak=run.quiet.peak,
            quiet=run.quiet.rss,
            cpu=run.cpu_seconds,
            p50=1_000 * latencies[len(latencies) // 2],
            p99=1_000 * latencies[int(len(latencies) * 0.99)],
            trims=run.log.trims,
            share=run.log.seconds / run.wall_seconds,
        )


def measured(variant: str, program: Program, targets: list[str]) -> Figures:
    """Run one variant once."""
    environment, preloaded = VARIANTS[variant]
    before = dict(os.environ)
    os.environ |= environment
    try:
        log = program.directory / "server.log"
        server = Server(program, log, LIBRARY if preloaded else None)
        run = measure.run(variant, server, targets, lambda *_: None)
    finally:
        os.environ.clear()
        os.environ |= before
    if run.failed:
        raise SystemExit(f"{variant}: {run.failed} requests failed: {run.errors[:3]}")
    return Figures.of(run)


def cells(runs: list[Figures], plain: list[Figures]) -> list[str]:
    """Return the table cells of one variant: medians, and of time ratios to the plain run of the same round."""

    def median(name: str) -> float:
        return statistics.median(getattr(run, name) for run in runs)

    def ratio(name: str) -> float:
        return statistics.median(
            getattr(run, name) / getattr(base, name)
            for run, base in zip(runs, plain, strict=True)
        )

    return [
        *(f"{median(name):.1f}" for name in ("mean", "peak", "quiet")),
        *(f"{ratio(name):.2f} x" for name in ("cpu", "p50", "p99")),
        f"{median('trims'):.0f}",
        f"{median('share'):.2%}",
    ]


def main() -> None:
    """Run all variants, alternating, and print the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-defaults", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--worker", choices=WORKERS, default="gthread")
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    options = parser.parse_args()
    variants = ["plain"] + [v for v in options.variant or VARIANTS if v != "plain"]
    console = Console()
    figures: dict[str, list[Figures]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory(prefix="autotrim-bench-") as directory:
        program = programs.gunicorn(options.worker, Path(directory))
        targets = load.paths(options.requests, program.load)
        rounds = [v for _ in range(options.repetitions) for v in variants]
        for variant in track(rounds, description=options.worker, console=console):
            figures[variant].append(measured(variant, program, targets))

    table = Table(
        title=f"gunicorn {options.worker}, {options.requests:,} requests, median of {options.repetitions}"
    )
    table.add_column("")
    for title in (
        "mean MiB",
        "peak",
        "quiet",
        "CPU",
        "p50",
        "p99",
        "trims",
        "in trims",
    ):
        table.add_column(title, justify="right")
    for variant, runs in figures.items():
        table.add_row(variant, *cells(runs, figures["plain"]))
    console.print(table)


if __name__ == "__main__":
    main()
