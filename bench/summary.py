"""Medians, spreads, ratios: what a workload's runs come down to."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench import client
from bench.results import Results
from bench.variants import VARIANTS

Run = dict[str, Any]

# CPU time of one page fault, in ms: scripts/bench-calls, "a page taken back after a trim".
FAULT_MS = 0.0014


@dataclass(frozen=True)
class Spread:
    """The median of some runs, the lowest and the highest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread | None:
        """Return the spread of some values, if there are any."""
        if not values:
            return None
        return Spread(statistics.median(values), min(values), max(values))


def figure(run: Run, name: str) -> float | None:
    """Return a figure of a run; `latency.p99_ms` is one of several that belong together."""
    value: Any = run
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def spread(results: Results, variant: str, name: str) -> Spread | None:
    """Return a figure over the repetitions of a variant."""
    values = [figure(run, name) for run in results.of(variant)]
    return Spread.of([value for value in values if value is not None])


def ratio(results: Results, variant: str, name: str) -> Spread | None:
    """Return a figure as a ratio to the plain run of the same round: what both had to bear drops out."""
    plain = {run["repetition"]: figure(run, name) for run in results.of("plain")}
    values = []
    for run in results.of(variant):
        value, base = figure(run, name), plain.get(run["repetition"])
        if value is not None and base:
            values.append(value / base)
    return Spread.of(values)


def counted_cost(results: Results, variant: str) -> float | None:
    """Return what trims and page faults, against plain's, come to as a share of plain's CPU time per request.

    Both are counted, not told from the noise of CPU times.
    """
    names = ("trim_ms", "requests_in_all", "faults_per_request")
    trims, requests, faults = (spread(results, variant, name) for name in names)
    plain_faults = spread(results, "plain", "faults_per_request")
    cpu = spread(results, "plain", "cpu_ms_per_request")
    if not (trims and requests and faults and plain_faults and cpu and cpu.median):
        return None
    more_faults = faults.median - plain_faults.median
    cost = trims.median / requests.median + more_faults * FAULT_MS
    return cost / cpu.median


def own_spread(results: Results, name: str) -> Spread | None:
    """Return how far the plain runs are from their own median: what cannot be told apart."""
    middle = spread(results, "plain", name)
    if not middle or not middle.median:
        return None
    return Spread(1.0, middle.low / middle.median, middle.high / middle.median)


def live(results: Results, figure: str = "live_mib") -> float | None:
    """Return the RSS that nobody could give back, or `in_use_mib` of it, in MiB: the lowest median of all variants whose processes did all the work.

    Restarted workers did not. `bench.server.Server.live` says how it is known.
    """
    found = [
        left.median
        for name, variant in VARIANTS.items()
        if not variant.gunicorn and (left := spread(results, name, figure))
    ]
    return min(found, default=None)


def quiet_seconds(results: Results) -> float:
    """Return how long after the load memory was looked at: two seconds where the runs do not say."""
    found = spread(results, "plain", "quiet_s")
    return found.median if found else 2.0


def is_collected(results: Results) -> bool:
    """Tell whether garbage was collected before: else it counts as live."""
    return any(run.get("live_collected") for run in results.of("plain"))


def latency(results: Results, variant: str, percent: float) -> float | None:
    """Return a percentile of all requests of all repetitions, in ms, to one percent."""
    return client.percentile_of(_histogram(results, variant), percent)


def slower(part: Results, variant: str) -> float | None:
    """Return p99 as a ratio to plain's, of all requests of all rounds."""
    ours, plain = (latency(part, name, 99) for name in (variant, "plain"))
    return ours / plain if ours and plain else None


def slowed(results: Results, variant: str) -> float | None:
    """Return how many in 10,000 requests took more than five times the plain server's p99."""
    usual = latency(results, "plain", 99)
    histogram = _histogram(results, variant)
    if usual is None or not histogram:
        return None
    limit = client.bucket(5 * usual)
    slow = sum(count for number, count in histogram.items() if number > limit)
    return 10_000 * slow / histogram.total()


def _histogram(results: Results, variant: str) -> Counter[int]:
    result: Counter[int] = Counter()
    for run in results.of(variant):
        for number, count in (figure(run, "latency.histogram") or {}).items():
            result[int(number)] += count
    return result
