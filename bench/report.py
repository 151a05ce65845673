"""docs/benchmarks.md, made of the raw files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import ROOT, plots, promises, results, summary, workloads
from bench.client import percentile
from bench.results import Results
from bench.summary import Spread
from bench.variants import VARIANTS
from bench.workloads.pulp import SCHEMA

TEXT = Path(__file__).parent / "report.md"
README_BEGIN = "<!-- Made by scripts/bench: -->\n"
README_END = "<!-- until here. -->\n"
LACKING = "–"
LOAD_COLUMNS = (
    "variant",
    "runs",
    "mean RSS, MiB",
    "× live",
    "peak",
    "2 s quiet",
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
# A saving, or a cost, that is smaller than that is none.
DIFFERENCE = promises.DIFFERENCE
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
    "failed",
    "trims a round",
)


def make(output: Path) -> str:
    """Write report, plots and table; return what to tell the user."""
    everything = {}
    for name in workloads.ALL:
        found = results.load(output, name)
        if found:
            everything[name] = found
    if not everything:
        return f"scripts/bench: there are no raw files in {results.directory(output)}"
    results.save_table(output, list(everything.values()))
    for name, found in everything.items():
        if found.good():
            picture = results.directory(output) / f"{name}.png"
            plots.draw(found, workloads.ALL[name].title, picture)
    page = output / "benchmarks.md"
    page.write_text("\n".join(_page(everything)) + "\n")
    if output.resolve() == ROOT / "docs":
        _into_readme(everything)
    return f"{page}"


def _into_readme(everything: dict[str, Results]) -> None:
    """Write the picture of the first workload and the short table between the marks in README.md."""
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text().partition(README_BEGIN)
    _, end, after = rest.partition(README_END)
    if not end:
        return
    # Its readers look for a server like theirs; how trims of large heaps go is on the page.
    servers = {
        name: found
        for name, found in everything.items()
        if not name.startswith("big-heap")
    }
    first = next(iter(everything))
    title = workloads.ALL[first].title
    lines = [
        *("", "## Against the alternatives", ""),
        f"![{title}: RSS over time; mean RSS and CPU of every variant](docs/benchmarks/{first}.png)",
        "",
        *_in_short(servers),
        "",
        "From `scripts/bench`; how it was measured, all variants, and where it does not win:",
        "[docs/benchmarks.md](docs/benchmarks.md).",
        "",
    ]
    readme.write_text(before + begin + "\n".join(lines) + end + after)


def _page(everything: dict[str, Results]) -> Iterator[str]:
    before, after = TEXT.read_text().split("<!-- results -->\n")
    yield before.rstrip()
    if any(found.quick for found in everything.values()):
        yield "\n**Made with `--quick`: one short run each. The figures show that it works, and nothing else.**"
    yield "\n## In short\n"
    yield from _in_short(everything)
    yield "\n## What must hold\n"
    yield from _promises(everything)
    yield "\n## Where it does not win\n"
    yield from _losses(everything)
    for name, found in everything.items():
        yield from _workload(name, found)
    yield "\n" + after.rstrip()
    yield "\n## Machine and versions\n"
    yield from _machine(everything)


def _in_short(everything: dict[str, Results]) -> Iterator[str]:
    columns = (
        "workload",
        "live, MiB",
        "plain",
        "libautotrim, defaults",
        "best other",
        "its CPU",
        "our CPU a request, × plain",
        "our p99, × plain",
    )
    yield from _head(columns)
    for name, found in everything.items():
        part = found.part()
        mean = summary.spread(part, "defaults", "mean_mib")
        if not mean:
            continue
        others = _others(part, "mean_mib")
        best = min(others, key=others.__getitem__, default="")
        yield _row(
            name,
            _number(summary.live(found)),
            _middle(summary.spread(part, "plain", "mean_mib")),
            f"**{mean.median:.1f}**",
            f"{others[best]:.1f} ({VARIANTS[best].title})" if best else LACKING,
            _times(summary.ratio(part, best, "cpu_ms_per_request")),
            _times(summary.ratio(part, "defaults", "cpu_ms_per_request")),
            _number(_slower(part, "defaults"), 3),
        )
    yield "\nMean RSS at part load, medians of the rounds. CPU as a ratio to the plain server that served at the same time."


def _slower(part: Results, variant: str) -> float | None:
    """Return p99 as a ratio to plain's, of all requests of all rounds."""
    ours, plain = (summary.latency(part, name, 99) for name in (variant, "plain"))
    return ours / plain if ours and plain else None


def _others(found: Results, name: str) -> dict[str, float]:
    """Return the median of a figure for every variant that is neither plain nor ours."""
    spreads = {
        other: summary.spread(found, other, name)
        for other, variant in VARIANTS.items()
        if other != "plain" and not variant.library
    }
    return {other: value.median for other, value in spreads.items() if value}


def _promises(everything: dict[str, Results]) -> Iterator[str]:
    yield from _head(("workload", "promise", "limit", "measured", ""))
    for verdict in promises.verdicts(everything):
        yield _row(
            verdict.workload,
            verdict.promise,
            verdict.limit,
            verdict.measured or LACKING,
            verdict.text,
        )


def _losses(everything: dict[str, Results]) -> Iterator[str]:
    """Say who is better than the defaults, in what."""
    none = True
    for name, found in everything.items():
        part = found.part()
        for load, figure, title in (
            (part, "mean_mib", "less memory at part load"),
            (part, "cpu_ms_per_request", "less CPU a request at part load"),
            (found, "mean_mib", "less memory at full load"),
            (found, "quiet_mib", "less memory 2 s after the load"),
            (found, "after_2s_mib", "less memory 2 s after the burst"),
            (found, "mean_pss_mib", "less PSS under the light load"),
            (found, "quiet_pss_mib", "less PSS 2 s after the light load"),
            (found, "cpu_ms_per_request", "less CPU a request at full load"),
        ):
            ours = summary.spread(load, "defaults", figure)
            if not ours:
                continue
            all_others = _others(load, figure)
            plain = summary.spread(load, "plain", figure)
            if plain:
                all_others["plain"] = plain.median
            limit = ours.median * (1 - DIFFERENCE)
            better = {o: value for o, value in all_others.items() if value < limit}
            if better:
                none = False
                ranked = sorted(better, key=better.__getitem__)
                told = ", ".join(
                    f"{VARIANTS[other].title} ({better[other]:.3g})" for other in ranked
                )
                yield f"- **{name}**, {title} than the defaults ({ours.median:.3g}): {told}"
    if none:
        yield "Nothing measured here."
    yield f"\nDifferences of less than {DIFFERENCE:.0%} are left out."


def _workload(name: str, found: Results) -> Iterator[str]:
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
    yield from _head(PART_COLUMNS)
    for name, variant in VARIANTS.items():
        runs = part.of(name)
        mean = summary.spread(part, name, "mean_mib")
        if not runs or not mean:
            continue
        yield _row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            _spread(mean),
            f"{mean.median / live:.2f}" if live else LACKING,
            _times(summary.ratio(part, name, "cpu_ms_per_request")),
            _number(summary.latency(part, name, 50), 2),
            _number(summary.latency(part, name, 99)),
            _number(_slower(part, name), 3),
            _middle(summary.spread(part, name, "faults_per_request")),
            str(sum(run["failed"] for run in runs)),
            _number(_median(part, name, "trims"), 0) if variant.library else LACKING,
        )


def _load(found: Results) -> Iterator[str]:
    """Tell of full load, and of the quiet after it."""
    if not found.good():
        return
    live = summary.live(found)
    yield "\n**At full load**, and two seconds after it:\n"
    yield from _head(LOAD_COLUMNS)
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
        yield _row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            _spread(mean),
            f"{mean.median / live:.2f}" if mean and live else LACKING,
            _middle(summary.spread(found, name, "peak_mib")),
            _middle(quiet),
            f"{quiet.median / live:.2f}" if quiet and live else LACKING,
            _middle(summary.spread(found, name, "rest_mib")),
            _times(summary.ratio(found, name, "cpu_ms_per_request")),
            _share(summary.counted_cost(found, name)),
            _times(summary.ratio(found, name, "throughput")),
            _number(summary.latency(found, name, 50), 2),
            _number(summary.latency(found, name, 99)),
            _number(max(summary.figure(run, "latency.max_ms") or 0 for run in runs)),
            _middle(summary.spread(found, name, "faults_per_request")),
            f"{10_000 * lost / requests:.1f} / {_number(slowed)}",
            _number(_median(found, name, "trims"), 0) if trimmed else LACKING,
            f"{_median(found, name, 'trim_share'):.2%}" if trimmed else LACKING,
            _number(max(run["longest_trim_ms"] for run in runs), 1)
            if trimmed
            else LACKING,
        )
    yield _live(found)


def _live(found: Results) -> str:
    garbage = (
        "garbage collected"
        if summary.is_collected(found)
        else "garbage counted as live"
    )
    return f"\nLive: {_number(summary.live(found))} MiB ({garbage})."


def _share(value: float | None) -> str:
    return LACKING if value is None else f"{value:+.1%}"


def _burst(found: Results) -> Iterator[str]:
    moments = [name for name in found.good()[0] if name.startswith("after_")]
    titles = [f"after {name.split('_')[1][:-1]} s" for name in moments]
    live = summary.live(found)
    yield from _head(
        ("variant", "runs", "peak, MiB", "end of the burst", *titles, "2 s, × live")
    )
    for name, variant in VARIANTS.items():
        runs = found.of(name)
        if not runs:
            continue
        after = summary.spread(found, name, moments[0])
        yield _row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            _middle(summary.spread(found, name, "peak_mib")),
            _middle(summary.spread(found, name, "end_mib")),
            *(_spread(summary.spread(found, name, moment)) for moment in moments),
            f"{after.median / live:.2f}" if after and live else LACKING,
        )
    yield _live(found)


def _oom(found: Results) -> Iterator[str]:
    yield from _head(
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
        yield _row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            *(", ".join(str(run[figure]) for run in runs) for figure in figures),
            _number(max(run["max_ms"] for run in runs)),
        )
    limit = found.calibration
    yield (
        f"\nThe limit: {limit['limit_mib']:.0f} MiB, halfway between the peaks of the group without one: "
        f"{limit['plain_peak_mib']:.0f} MiB plain, {limit['defaults_peak_mib']:.0f} MiB with the defaults."
    )


def _shared(found: Results) -> Iterator[str]:
    yield from _head(
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
        yield _row(
            f"**{variant.title}**" if name == "defaults" else variant.title,
            str(len(runs)),
            _middle(summary.spread(found, name, "start_pss_mib")),
            _spread(summary.spread(found, name, "mean_pss_mib")),
            _times(summary.ratio(found, name, "mean_pss_mib")),
            _spread(summary.spread(found, name, "quiet_pss_mib")),
            _times(summary.ratio(found, name, "quiet_pss_mib")),
            _middle(summary.spread(found, name, "mean_rss_mib")),
            _middle(summary.spread(found, name, "quiet_rss_mib")),
            _number(summary.latency(found, name, 99)),
            str(sum(run["failed"] + run["dropped"] for run in runs)),
            _number(_median(found, name, "trims"), 0) if variant.library else LACKING,
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


def _machine(everything: dict[str, Results]) -> Iterator[str]:
    described: dict[str, list[str]] = {}
    for found in everything.values():
        for key, value in found.machine.items():
            if value not in described.setdefault(key, []):
                described[key].append(value)
    yield from _head(("", ""))
    for key, values in described.items():
        yield _row(key, ", ".join(values))
    repetitions = [len(found.of("defaults")) for found in everything.values()]
    runs = sum(len(found.good()) for found in everything.values())
    yield (
        f"\n{runs} runs; {percentile(sorted(map(float, repetitions)), 50):.0f} of plain and of the defaults in the middle "
        "workload, each table says how many."
    )


def _median(found: Results, variant: str, name: str) -> float:
    value = summary.spread(found, variant, name)
    return value.median if value else 0.0


def _head(columns: tuple[str, ...]) -> Iterator[str]:
    yield _row(*columns)
    yield "|---|" + "--:|" * (len(columns) - 1)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int = 1) -> str:
    return LACKING if value is None else f"{value:,.{digits}f}"


def _middle(value: Spread | None) -> str:
    return _number(value.median if value else None)


def _spread(value: Spread | None) -> str:
    if not value:
        return LACKING
    return f"{value.median:.1f} ({value.low:.1f}–{value.high:.1f})"


def _times(value: Spread | None) -> str:
    if not value:
        return LACKING
    return f"{value.median:.2f} ({value.low:.2f}–{value.high:.2f})"
