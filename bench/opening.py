"""What a reader in a hurry reads: one table and five sentences, and the ten rows of the README."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench import promises, summary
from bench.cells import LACKING, head, number, row
from bench.results import Results
from bench.summary import Spread
from bench.variants import VARIANTS

# Of the README: a workload, its program, and what its users take today.
README_ROWS = (
    ("rows-gthread", "gunicorn, 8 threads", "jemalloc"),
    ("rows-uvicorn", "uvicorn, Starlette", "jemalloc"),
    ("rest-framework", "Django REST framework", "jemalloc-tuned"),
    ("tasks-celery", "Celery", "jemalloc-tuned"),
    ("rows-puma", "Puma", "jemalloc-tuned"),
    ("tasks-sidekiq", "Sidekiq", "arenas-2"),
    ("rows-express", "Node, Express", "jemalloc"),
    ("native-node", "Node and sharp", "jemalloc"),
    ("native-threads", "C++, 8 threads", "arenas-1"),
    ("native-mariadb", "MariaDB", "jemalloc"),
)


def sentences(everything: dict[str, Results]) -> Iterator[str]:
    """Return five sentences on all workloads, made of the figures."""
    shown = [found for found in everything.values() if _has_part(found)]
    mean = [_over_live(found, found.part(), "mean_mib") for found in shown]
    quiet = [
        _over_live(found, found, "quiet_mib")
        for found in everything.values()
        if found.good() and summary.spread(found, "defaults", "quiet_mib")
    ]
    cpu = _ratios(shown, "cpu_ms_per_request")
    p99 = [
        ours / plain
        for found in shown
        if (ours := summary.latency(found.part(), "defaults", 99))
        and (plain := summary.latency(found.part(), "plain", 99))
    ]
    verdicts = promises.verdicts(everything)
    missed = sum(verdict.holds is False for verdict in verdicts)
    lowest = next(v.measured for v in verdicts if v.promise == promises.LOWEST_TITLE)
    yield _pair(mean, "On average at 30 % load", "of what is live")
    yield _pair(quiet, "Two seconds after full load", "of what is live")
    if cpu and p99:
        yield (
            f"The defaults cost {statistics.median(cpu):.2f} × plain's CPU time per request in the middle workload and {max(cpu):.2f} × in the "
            f"worst, and p99 is {statistics.median(p99):.2f} × and {max(p99):.2f} ×."
        )
    yield f"No alternative holds less on average at that load on {lowest or 'none'} of the workloads."
    yield (
        f"{missed} of {sum(v.holds is not None for v in verdicts)} promises do not hold: [which](#what-must-hold), and "
        "[why](#why-some-of-it-does-not-hold)."
    )


def readme(everything: dict[str, Results]) -> Iterator[str]:
    """Return the table of the README."""
    yield from head(
        ("MiB", "plain", "what its users take", "", "libautotrim", "live"), text=(0, 3)
    )
    for name, program, taken in README_ROWS:
        found = everything.get(name)
        if found and found.good():
            yield row(
                program,
                _held(found, "plain"),
                _held(found, taken),
                VARIANTS[taken].title,
                f"**{_held(found, 'defaults')}**",
                number(summary.live(found)),
            )
    yield "\nRSS on average at 30 % load (MariaDB: at full load) / two seconds after full load."


def _held(found: Results, variant: str) -> str:
    load = found.part() if _has_part(found) else found
    mean = summary.spread(load, variant, "mean_mib")
    quiet = summary.spread(found, variant, "quiet_mib")
    return f"{_rounded(mean)} / {_rounded(quiet)}"


def _rounded(value: Spread | None) -> str:
    return f"{value.median:,.0f}" if value else LACKING


def _has_part(found: Results) -> bool:
    return bool(summary.spread(found.part(), "defaults", "mean_mib"))


def _ratios(shown: list[Results], figure: str) -> list[float]:
    found = (summary.ratio(results.part(), "defaults", figure) for results in shown)
    return [value.median for value in found if value]


def _over_live(
    found: Results, load: Results, figure: str
) -> tuple[float, float] | None:
    """Return plain's figure and the defaults', each as a multiple of what is live."""
    live = summary.live(found)
    plain = summary.spread(load, "plain", figure)
    ours = summary.spread(load, "defaults", figure)
    if not live or not plain or not ours:
        return None
    return plain.median / live, ours.median / live


def _pair(found: list[tuple[float, float] | None], when: str, unit: str) -> str:
    known = [pair for pair in found if pair]
    if not known:
        return f"{when}: not measured."
    plain, ours = ([pair[side] for pair in known] for side in (0, 1))
    return (
        f"{when} the plain servers hold {statistics.median(plain):.2f} × {unit} in the middle workload and {max(plain):.2f} × in the worst; with the "
        f"defaults it is {statistics.median(ours):.2f} × and {max(ours):.2f} ×."
    )
