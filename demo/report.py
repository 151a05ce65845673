"""The table that compares the runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable

from rich.table import Table

from demo.load import CLIENTS
from demo.measure import QUIET_SECONDS, Run
from demo.programs import Program


def table(plain: Run, trimmed: Run, program: Program) -> Table:
    """Return one row per measure, one column per run."""
    result = Table(
        title=f"{program.name}, {len(plain.checksums):,} requests, {CLIENTS} connections",
        caption=f"{program.versions}, {' '.join(platform.libc_ver())}, {os.cpu_count()} CPUs\n"
        "One run each: repeat it before trusting CPU and latency.",
    )
    result.add_column("")
    for name in (plain.name, trimmed.name, "change"):
        result.add_column(name, justify="right")

    def compare(title: str, value: Callable[[Run], float], form: str) -> None:
        before, after = value(plain), value(trimmed)
        change = f"{(after - before) / before:+.0%}" if before else ""
        result.add_row(title, form.format(before), form.format(after), change)

    compare("RSS at start", lambda run: run.start.rss, "{:.1f} MiB")
    compare("RSS mean under load", _mean_rss, "{:.1f} MiB")
    compare("RSS peak", lambda run: run.quiet.peak, "{:.1f} MiB")
    compare("RSS at end", lambda run: run.end.rss, "{:.1f} MiB")
    compare(
        f"RSS after {QUIET_SECONDS} s of quiet", lambda run: run.quiet.rss, "{:.1f} MiB"
    )
    compare("  of it anonymous", lambda run: run.quiet.anonymous, "{:.1f} MiB")
    if live := plain.live:
        garbage = "" if live.collected else ", garbage included"
        result.add_section()
        result.add_row(f"Live: nobody can give it back{garbage}", f"{live.mib:.1f} MiB")

        def beside(title: str, value: Callable[[Run], float]) -> None:
            both = (f"{value(run) / live.mib:.2f} x" for run in (plain, trimmed))
            result.add_row(title, *both)

        beside("RSS mean under load, x live", _mean_rss)
        beside(
            f"RSS after {QUIET_SECONDS} s of quiet, x live", lambda run: run.quiet.rss
        )
    result.add_section()
    compare(
        "CPU per 1,000 requests",
        lambda run: 1_000 * run.cpu_seconds / (len(run.latencies) or 1),
        "{:.3f} s",
    )
    compare("Latency p50", lambda run: _percentile(run, 50), "{:.2f} ms")
    compare("Latency p99", lambda run: _percentile(run, 99), "{:.2f} ms")
    result.add_section()
    result.add_row("Trims", "", f"{trimmed.log.trims}")
    share = trimmed.log.seconds / trimmed.wall_seconds
    result.add_row(
        "Time in trims",
        "",
        f"{1_000 * trimmed.log.seconds:.1f} ms",
        f"{share:.2%} of wall",
    )
    result.add_row("Failed requests", f"{plain.failed}", f"{trimmed.failed}")
    return result


def problems(plain: Run, trimmed: Run) -> list[str]:
    """Return what makes the comparison, or the library, a failure."""
    found = []
    for run in (plain, trimmed):
        if run.failed:
            found.append(f"{run.name}: {run.failed} failed requests")
            found += [f"  {error}" for error in run.errors[:5]]
    if not trimmed.log.enabled:
        found.append(
            f"{trimmed.name}: the library never logged event=enabled, see {trimmed.log.path}"
        )
    if not plain.live:
        found.append(
            f"{plain.name}: it does not tell what is live, see {plain.log.path}"
        )
    if not (plain.failed or trimmed.failed) and plain.checksums != trimmed.checksums:
        found.append("the two runs got different answers")
    return found


def _mean_rss(run: Run) -> float:
    under_load = [
        sample.rss for sample in run.samples if sample.seconds <= run.load_seconds
    ]
    return sum(under_load) / len(under_load)


def _percentile(run: Run, percent: int) -> float:
    """Return a latency in ms (nearest rank); 0 when nothing was answered."""
    if not run.latencies:
        return 0.0
    rank = -(-len(run.latencies) * percent // 100)
    return 1_000 * run.latencies[rank - 1]
