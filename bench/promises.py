"""What must hold with the library's defaults, held against the figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import summary
from bench.results import Results
from bench.summary import Spread
from bench.variants import BUDGETS, VARIANTS

# RSS as a multiple of what is live: the mean at part load, and two seconds after the work.
MEAN = 1.25
QUIET = 1.15
TRIM_SHARE = 0.01
# PSS of a preloaded master and its workers, as a ratio to plain's.
PSS = 1.03
# Ratios to plain: a figure, its title, the limit, and whether the limit is the least or the most.
CPU = ("cpu_ms_per_request", "CPU per request, × plain", 1.03, "most")
THROUGHPUT = ("throughput", "throughput, × plain", 0.98, "least")
P99 = 1.05
LOWEST = 12
LOWEST_TITLE = "lowest mean RSS at part load"
# What cannot be told apart.
DIFFERENCE = 0.02


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
        if results.workload == "oom":
            found.append(_oom(results))
            continue
        if results.workload == "burst-then-quiet":
            found += _quiet(results)
            continue
        if results.workload == "preload":
            found += _shared(results)
            continue
        if results.together:
            found += _part(results)
        if results.runs:
            found += _full(results)
        if name == "pulp-status":
            found += _collected(results)
    return [*found, _lowest(everything)]


def _part(results: Results) -> Iterator[Verdict]:
    """At part load."""
    part, live = results.part(), summary.live(results)
    if live:
        yield _over_live(part, live, "mean_mib", "mean RSS at part load", MEAN)
    yield _cost(part, CPU, together=True)
    yield _p99(part)


def _full(results: Results) -> Iterator[Verdict]:
    """At full load, and in the quiet after it."""
    live = summary.live(results)
    promise = f"RSS {summary.quiet_seconds(results):g} s after the load"
    yield _over_live(results, live, "quiet_mib", promise, QUIET)
    mean = summary.spread(results, "defaults", "mean_mib")
    plain = summary.spread(results, "plain", "mean_mib")
    if mean and plain:
        yield Verdict(
            results.workload,
            "mean RSS at full load, at most plain's",
            f"≤ {plain.median:.1f} MiB",
            f"{mean.median:.1f} MiB ({mean.low:.1f}–{mean.high:.1f})",
            mean.median <= plain.high,
        )
    yield _cost(results, THROUGHPUT, together=False)
    share = summary.spread(results, "defaults", "trim_share")
    yield Verdict(
        results.workload,
        "share of time in trims",
        f"≤ {TRIM_SHARE:.0%}",
        f"{share.median:.2%} ({share.low:.2%}–{share.high:.2%})" if share else "",
        share.median <= TRIM_SHARE if share else None,
    )
    yield _undominated(results)


def _undominated(results: Results) -> Verdict:
    """Nobody has less memory and less CPU than a budget of ours."""
    promise = "nobody has both less memory and less CPU than a budget of ours"
    ours = [name for name in ("defaults", *BUDGETS) if results.of(name)]
    figures = ("mean_mib", "cpu_ms_per_request")
    rest = {figure: _others(results, figure) for figure in figures}
    better = [
        f"{VARIANTS[other].title} than {VARIANTS[name].title}"
        for name in ours
        for other in rest["mean_mib"]
        if all(
            rest[figure][other]
            < summary.spread(results, name, figure).median * (1 - DIFFERENCE)
            for figure in figures
        )
    ]
    holds = not better if ours and rest["mean_mib"] else None
    return Verdict(results.workload, promise, "", "; ".join(better), holds)


def _lowest(everything: dict[str, Results]) -> Verdict:
    """Of most workloads no other variant has a lower mean at part load."""
    won = measured = 0
    for results in everything.values():
        part = results.part()
        mean = summary.spread(part, "defaults", "mean_mib")
        others = _others(part, "mean_mib")
        if mean and others:
            measured += 1
            won += mean.median <= min(others.values())
    return Verdict(
        "all",
        LOWEST_TITLE,
        f"≥ {LOWEST} workloads",
        f"{won} of {measured}" if measured else "",
        won >= LOWEST if measured else None,
    )


def _over_live(
    results: Results, live: float | None, name: str, promise: str, limit: float
) -> Verdict:
    """Hold one of the defaults' figures against what is live."""
    promise = f"{promise}, × live"
    figure = summary.spread(results, "defaults", name)
    if not live or not figure:
        return Verdict(results.workload, promise, f"≤ {limit:.2f}", "", None)
    times = Spread(
        *(value / live for value in (figure.median, figure.low, figure.high))
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


def _cost(
    results: Results, promised: tuple[str, str, float, str], together: bool
) -> Verdict:
    name, title, limit, kind = promised
    title += " at part load" if together else " at full load"
    found = summary.ratio(results, "defaults", name)
    own = summary.own_spread(results, name)
    sign = "≤" if kind == "most" else "≥"
    if not found or not own:
        return Verdict(results.workload, title, f"{sign} {limit:.2f}", "", None)
    at_most = kind == "most"
    holds = found.median <= limit if at_most else found.median >= limit
    usual = found.median <= own.high if at_most else found.median >= own.low
    return Verdict(
        results.workload,
        title,
        f"{sign} {limit:.2f}",
        _ratio(found),
        holds,
        # Those that served at the same time had the same machine.
        "" if together else _note(usual, own),
    )


def _p99(results: Results) -> Verdict:
    title, limit = "p99 at part load, × plain", f"≤ {P99:.2f}"
    rounds = summary.ratio(results, "defaults", "latency.p99_ms")
    plain = summary.latency(results, "plain", 99)
    ours = summary.latency(results, "defaults", 99)
    if not rounds or not plain or not ours:
        return Verdict(results.workload, title, limit, "", None)
    # All requests of all rounds together: that of one round hangs on a dozen requests.
    times = Spread(ours / plain, rounds.low, rounds.high)
    return Verdict(results.workload, title, limit, _ratio(times), times.median <= P99)


def _quiet(results: Results) -> Iterator[Verdict]:
    live = summary.live(results)
    yield _over_live(results, live, "after_2s_mib", "RSS 2 s after the burst", QUIET)
    others = _others(results, "after_2s_mib")
    if not live or not others:
        return
    best = min(others, key=others.__getitem__)
    yield Verdict(
        results.workload,
        "nobody else gives it back within 2 s",
        f"> {QUIET:.2f}",
        f"{others[best] / live:.2f} ({VARIANTS[best].title})",
        others[best] / live > QUIET,
    )


def _shared(results: Results) -> Iterator[Verdict]:
    """What is shared stays shared."""
    for figure, when in (
        ("mean_pss_mib", "under a light load"),
        ("quiet_pss_mib", "2 s after it"),
    ):
        times = summary.ratio(results, "defaults", figure)
        yield Verdict(
            results.workload,
            f"PSS of master and workers {when}, × plain",
            f"≤ {PSS:.2f}",
            _ratio(times) if times else "",
            times.median <= PSS if times else None,
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
