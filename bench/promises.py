"""What must hold with the library's defaults, held against the figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import summary
from bench.results import Results
from bench.summary import Spread
from bench.variants import VARIANTS

# Mean RSS under load, as a multiple of the floor.
MEAN = {
    "rows-gthread": 1.20,
    "rows-sync": 1.10,
    "rows-uvicorn": 1.20,
    "rows-puma": 1.20,
}
QUIET = 1.05
TRIM_SHARE = 0.01
# Ratios to plain: a figure, its title, the limit, and whether the limit is the least or the most.
COSTS = (
    ("cpu_ms_per_request", "CPU per request, × plain", 1.03, "most"),
    ("throughput", "throughput, × plain", 0.98, "least"),
)
P99 = 1.05


@dataclass(frozen=True)
class Verdict:
    """One promise and what was measured."""

    workload: str
    promise: str
    limit: str
    measured: str
    holds: bool | None  # None: nothing was measured
    note: str = ""

    @property
    def text(self) -> str:
        """Return it in words."""
        if self.holds is None:
            return "not measured"
        return "holds" if self.holds else "**does not hold**" + self.note


def verdicts(everything: dict[str, Results]) -> list[Verdict]:
    """Return all promises."""
    found: list[Verdict] = []
    for name, results in everything.items():
        if name in MEAN:
            found += _memory(results)
        if results.workload == "burst-then-quiet":
            found += _quiet(results)
        elif results.workload == "oom":
            found.append(_oom(results))
        else:
            found += _costs(results)
        if name == "pulp-status":
            found += _collected(results)
    return found


def _memory(results: Results) -> Iterator[Verdict]:
    limit = MEAN[results.workload]
    yield _over_floor(results, "mean_mib", "mean RSS under load, × the floor", limit)
    mean = summary.spread(results, "defaults", "mean_mib")
    others = _others(results, "mean_mib")
    if not summary.floor(results) or not mean or not others:
        return
    best = min(others, key=others.__getitem__)
    yield Verdict(
        results.workload,
        "mean RSS under load below every other variant",
        f"< {others[best]:.1f} MiB ({VARIANTS[best].title})",
        f"{mean.median:.1f} MiB",
        mean.median < others[best],
    )


def _over_floor(results: Results, name: str, promise: str, limit: float) -> Verdict:
    """Hold one of the defaults' figures against the floor."""
    floor = summary.floor(results)
    figure = summary.spread(results, "defaults", name)
    if not floor or not figure:
        return Verdict(results.workload, promise, f"≤ {limit:.2f}", "", None)
    times = Spread(
        *(value / floor for value in (figure.median, figure.low, figure.high))
    )
    return Verdict(
        results.workload,
        promise,
        f"≤ {limit:.2f}",
        _ratio(times),
        times.median <= limit,
    )


def _others(results: Results, name: str) -> dict[str, float]:
    """Return the figure of each variant without the library, as far as it was measured."""
    return {
        variant: other.median
        for variant, what in VARIANTS.items()
        if not what.library and (other := summary.spread(results, variant, name))
    }


def _costs(results: Results) -> Iterator[Verdict]:
    for name, title, limit, kind in COSTS:
        found = summary.ratio(results, "defaults", name)
        own = summary.own_spread(results, name)
        sign = "≤" if kind == "most" else "≥"
        if not found or not own:
            yield Verdict(results.workload, title, f"{sign} {limit:.2f}", "", None)
            continue
        at_most = kind == "most"
        holds = found.median <= limit if at_most else found.median >= limit
        usual = found.median <= own.high if at_most else found.median >= own.low
        measured = _ratio(found)
        counted = summary.counted_cost(results, "defaults")
        if name == "cpu_ms_per_request" and counted is not None:
            measured += f"; trims and faults alone {counted:+.1%}"
        yield Verdict(
            results.workload,
            title,
            f"{sign} {limit:.2f}",
            measured,
            holds,
            _note(usual, own),
        )
    yield _p99(results)
    share = summary.spread(results, "defaults", "trim_share")
    yield Verdict(
        results.workload,
        "share of time in trims",
        f"≤ {TRIM_SHARE:.0%}",
        f"{share.median:.2%} ({share.low:.2%}–{share.high:.2%})" if share else "",
        share.median <= TRIM_SHARE if share else None,
    )


def _p99(results: Results) -> Verdict:
    phase = summary.phase(results)
    title, limit = f"p99 of the {phase} phase, × plain", f"≤ {P99:.2f}"
    rounds = summary.ratio(results, "defaults", f"{phase}.p99_ms")
    plain = summary.latency(results, "plain", 99)
    ours = summary.latency(results, "defaults", 99)
    own = summary.own_spread(results, f"{phase}.p99_ms")
    if not rounds or not plain or not ours or not own:
        return Verdict(results.workload, title, limit, "", None)
    # All requests of all rounds together: that of one round hangs on a dozen requests.
    times = Spread(ours / plain, rounds.low, rounds.high)
    note = _note(times.median <= own.high, own)
    return Verdict(
        results.workload, title, limit, _ratio(times), times.median <= P99, note
    )


def _quiet(results: Results) -> Iterator[Verdict]:
    yield _over_floor(
        results, "after_2s_mib", "RSS 2 s after the burst, × the floor", QUIET
    )
    floor = summary.floor(results)
    others = _others(results, "after_2s_mib")
    if (
        not floor
        or not others
        or not summary.spread(results, "defaults", "after_2s_mib")
    ):
        return
    best = min(others, key=others.__getitem__)
    yield Verdict(
        results.workload,
        "nobody else gives it back within 2 s",
        f"> {QUIET:.2f}",
        f"{others[best] / floor:.2f} ({VARIANTS[best].title})",
        others[best] / floor > QUIET,
    )


def _oom(results: Results) -> Verdict:
    promise = "plain is OOM-killed, the defaults serve everything"
    plain, ours = results.of("plain"), results.of("defaults")
    if not plain or not ours:
        return Verdict(results.workload, promise, "", results.skipped, None)
    killed = [run["oom_kills"] for run in plain]
    lost = [run["oom_kills"] + run["failed"] + run["dropped"] for run in ours]
    return Verdict(
        results.workload,
        promise,
        f"limit {results.calibration['limit_mib']:.0f} MiB",
        f"plain: {_list(killed)} kills; defaults: {_list([run['oom_kills'] for run in ours])} kills, "
        f"{_list([run['failed'] + run['dropped'] for run in ours])} lost",
        all(killed) and not any(lost),
    )


def _collected(results: Results) -> Iterator[Verdict]:
    for figure, title in (
        ("mean_mib", "mean RSS"),
        ("quiet_mib", "RSS after 2 s of quiet"),
    ):
        promise = f"{title} with AUTOTRIM_GC=python, at most the application patch's"
        ours = summary.spread(results, "gc", figure)
        patch = summary.spread(results, "patch", figure)
        if not ours or not patch:
            reason = results.left_out.get("gc", "")
            yield Verdict(results.workload, promise, "", reason, None)
            continue
        yield Verdict(
            results.workload,
            promise,
            f"≤ {patch.median:.1f} MiB ({patch.low:.1f}–{patch.high:.1f})",
            f"{ours.median:.1f} MiB ({ours.low:.1f}–{ours.high:.1f})",
            ours.median <= patch.median,
        )


def _ratio(found: Spread) -> str:
    return f"{found.median:.3f} ({found.low:.2f}–{found.high:.2f})"


def _note(usual: bool, own: Spread) -> str:
    return (
        f", but plain runs differ as much: {own.low:.2f}–{own.high:.2f}"
        if usual
        else ""
    )


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
