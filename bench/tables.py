"""What the page tells of one workload: its tables, and what is left to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import cells, results, summary, workloads
from bench.results import Results
from bench.variants import VARIANTS
from bench.workloads.pulp import SCHEMA

LOAD_COLUMNS = (
    "variant",
    "runs",
    "mean RSS, MiB",
    "× live",
    "peak",
    "in quiet",
    "× live",
    "trimmed at rest",
    "CPU a request, × plain",
    "trims and faults alone",
    "throughput, × plain",
    "p50, ms",
    "p99, ms",
    "max, ms",
    "faults a request",
    "lost / slow in 10,000",
    "trims",
    "time in trims",
    "longest, ms",
)
PART_COLUMNS = (
    "variant",
    "rounds",
    "mean RSS, MiB",
    "× live",
    "CPU a request, × plain",
    "p50, ms",
    "p99, ms",
    "p99, × plain",
    "faults a request",
    "switches a request",
    "failed",
    "trims a round",
)


def of_workload(name: str, found: Results) -> Iterator[str]:
    yield f"\n## {name}\n\n{workloads.ALL[name].title}."
    if found.skipped:
        yield f"\n**Not measured here:** {found.skipped}."
    if not found.good() and not found.together:
        return
    if found.good():
        yield f"\n![RSS over time; mean RSS and CPU of every variant]({results.directory(Path()).name}/{name}.png)\n"
    if name == "burst-then-quiet":
        yield from _burst(found)
    elif name == "oom":
        yield from _oom(found)
    elif name == "preload":
        yield from _shared(found)
    else:
        yield from _part(found)
        yield from _load(found)
    for variant, reason in sorted(found.left_out.items()):
        yield f"\nLeft out: {VARIANTS[variant].title}: {reason}."
    failed = [run for run in found.runs if "error" in run]
    for run in failed:
        first = run["error"].splitlines()[0]
        yield f"\n**Failed:** {VARIANTS[run['variant']].title}: {first}"
    if name == "pulp-schema":
        yield from _leak(found)
    if name.startswith("big-heap"):
        yield from _huge_pages(found)


def _part(found: Results) -> Iterator[str]:
    """Tell of those that served at the same time."""
    part, live = found.part(), summary.live(found)
    if not part.runs:
        return
    rate = workloads.ALL[found.workload].rate
    yield f"\n**At {rate:.0%}** of what the plain server can answer:\n"
    yield from cells.head(PART_COLUMNS)
    for name, variant in VARIANTS.items():
        runs = part.of(name)
        mean = summary.spread(part, name, "mean_mib")
        if not runs or not mean:
            continue
        yield cells.row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            cells.spread(mean),
            f"{mean.median / live:.2f}" if live else cells.LACKING,
            cells.times(summary.ratio(part, name, "cpu_ms_per_request")),
            cells.number(summary.latency(part, name, 50), 2),
            cells.number(summary.latency(part, name, 99)),
            cells.number(summary.slower(part, name), 3),
            cells.middle(summary.spread(part, name, "faults_per_request")),
            cells.number(_median(part, name, "switches_per_request"), 2),
            str(sum(run["failed"] for run in runs)),
            cells.number(_median(part, name, "trims"), 0)
            if variant.library
            else cells.LACKING,
        )


def _load(found: Results) -> Iterator[str]:
    """Tell of full load, and of the quiet after it."""
    if not found.good():
        return
    live = summary.live(found)
    yield f"\n**At full load**, and {summary.quiet_seconds(found):g} s after it:\n"
    yield from cells.head(LOAD_COLUMNS)
    for name, variant in VARIANTS.items():
        runs = found.of(name)
        if not runs:
            continue
        mean = summary.spread(found, name, "mean_mib")
        quiet = summary.spread(found, name, "quiet_mib")
        lost = sum(run["failed"] + run["dropped"] for run in runs)
        requests = sum(run["requests_in_all"] for run in runs)
        slowed = summary.slowed(found, name)
        trimmed = variant.library
        yield cells.row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            cells.spread(mean),
            f"{mean.median / live:.2f}" if mean and live else cells.LACKING,
            cells.middle(summary.spread(found, name, "peak_mib")),
            cells.middle(quiet),
            f"{quiet.median / live:.2f}" if quiet and live else cells.LACKING,
            cells.middle(summary.spread(found, name, "rest_mib")),
            cells.times(summary.ratio(found, name, "cpu_ms_per_request")),
            cells.share(summary.counted_cost(found, name)),
            cells.times(summary.ratio(found, name, "throughput")),
            cells.number(summary.latency(found, name, 50), 2),
            cells.number(summary.latency(found, name, 99)),
            cells.number(
                max(summary.figure(run, "latency.max_ms") or 0 for run in runs)
            ),
            cells.middle(summary.spread(found, name, "faults_per_request")),
            f"{10_000 * lost / requests:.1f} / {cells.number(slowed)}",
            cells.number(_median(found, name, "trims"), 0)
            if trimmed
            else cells.LACKING,
            f"{_median(found, name, 'trim_share'):.2%}" if trimmed else cells.LACKING,
            cells.number(max(run["longest_trim_ms"] for run in runs), 1)
            if trimmed
            else cells.LACKING,
        )
    yield _live(found)


def _live(found: Results) -> str:
    garbage = (
        "garbage collected"
        if summary.is_collected(found)
        else "garbage counted as live"
    )
    return (
        f"\nLive: {cells.number(summary.live(found))} MiB ({garbage}), of which "
        f"{cells.number(summary.live(found, 'in_use_mib'))} are in use."
    )


def _burst(found: Results) -> Iterator[str]:
    moments = [name for name in found.good()[0] if name.startswith("after_")]
    titles = [f"after {name.split('_')[1][:-1]} s" for name in moments]
    live = summary.live(found)
    yield from cells.head(
        ("variant", "runs", "peak, MiB", "end of the burst", *titles, "2 s, × live")
    )
    for name, variant in VARIANTS.items():
        runs = found.of(name)
        if not runs:
            continue
        after = summary.spread(found, name, moments[0])
        yield cells.row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            cells.middle(summary.spread(found, name, "peak_mib")),
            cells.middle(summary.spread(found, name, "end_mib")),
            *(cells.spread(summary.spread(found, name, moment)) for moment in moments),
            f"{after.median / live:.2f}" if after and live else cells.LACKING,
        )
    yield _live(found)


def _oom(found: Results) -> Iterator[str]:
    yield from cells.head(
        (
            "variant",
            "runs",
            "OOM kills",
            "answered",
            "failed",
            "dropped",
            "longest answer, ms",
        )
    )
    for name, variant in VARIANTS.items():
        runs = found.of(name)
        if not runs:
            continue
        figures = ("oom_kills", "requests", "failed", "dropped")
        yield cells.row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            *(", ".join(str(run[figure]) for run in runs) for figure in figures),
            cells.number(max(run["max_ms"] for run in runs)),
        )
    limit = found.calibration
    yield (
        f"\nThe limit: {limit['limit_mib']:.0f} MiB, halfway between the peaks of the group without one: "
        f"{limit['plain_peak_mib']:.0f} MiB plain, {limit['defaults_peak_mib']:.0f} MiB with the defaults."
    )


def _shared(found: Results) -> Iterator[str]:
    yield from cells.head(
        (
            "variant",
            "runs",
            "PSS at the start, MiB",
            "mean PSS",
            "× plain",
            "PSS after 2 s",
            "× plain",
            "mean RSS",
            "RSS after 2 s",
            "p99, ms",
            "lost",
            "trims",
        )
    )
    for name, variant in VARIANTS.items():
        runs = found.of(name)
        if not runs:
            continue
        yield cells.row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            cells.middle(summary.spread(found, name, "start_pss_mib")),
            cells.spread(summary.spread(found, name, "mean_pss_mib")),
            cells.times(summary.ratio(found, name, "mean_pss_mib")),
            cells.spread(summary.spread(found, name, "quiet_pss_mib")),
            cells.times(summary.ratio(found, name, "quiet_pss_mib")),
            cells.middle(summary.spread(found, name, "mean_rss_mib")),
            cells.middle(summary.spread(found, name, "quiet_rss_mib")),
            cells.number(summary.latency(found, name, 99)),
            str(sum(run["failed"] + run["dropped"] for run in runs)),
            cells.number(_median(found, name, "trims"), 0)
            if variant.library
            else cells.LACKING,
        )
    yield (
        "\nSums over the master and its workers. PSS counts a shared page for each by its share; RSS counts it in full for each. Nothing is compared with what is "
        "live: a collection by hand writes to every object, and so gives each worker a copy of its own."
    )


def _leak(found: Results) -> Iterator[str]:
    """Say what no trim gives back: the growth of what is left after a trim at rest."""
    runs = found.of("plain") + found.of("defaults")
    calls = [run["paths"].get(SCHEMA, 0) for run in runs]
    held = [run["rest_mib"] - run["start_mib"] for run in runs]
    if sum(calls):
        yield (
            f"\n**This is a leak.** After a trim at rest {sum(held) / len(held):.0f} MiB more are left than at the start, "
            f"{sum(held) / sum(calls):.1f} MiB for each call of the schema: the application still holds them, and no "
            "allocator and no trim can give them back."
        )


def _huge_pages(found: Results) -> Iterator[str]:
    told = [
        f"{VARIANTS[name].title} {value.median:.0f} MiB"
        for name in VARIANTS
        if (value := summary.spread(found, name, "huge_mib"))
    ]
    yield f"\nAnonymous memory in huge pages after 2 s of quiet: {', '.join(told)}."


def _median(found: Results, variant: str, name: str) -> float:
    value = summary.spread(found, variant, name)
    return value.median if value else 0.0
