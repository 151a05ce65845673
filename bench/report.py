"""docs/benchmarks.md, made of the raw files alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from bench import (
    ROOT,
    cells,
    opening,
    plots,
    promises,
    results,
    summary,
    tables,
    workloads,
)
from bench.busy import QUIET
from bench.client import percentile
from bench.results import Results
from bench.variants import VARIANTS

TEXT = Path(__file__).parent / "report.md"
README_BEGIN = "<!-- Made by scripts/bench: -->\n"
README_END = "<!-- until here. -->\n"
# A saving, or a cost, that is smaller than that is none.
DIFFERENCE = promises.DIFFERENCE


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
    first = next(iter(everything))
    title = workloads.ALL[first].title
    lines = [
        *("", "## Against the alternatives", ""),
        f"![{title}: RSS over time; mean RSS and CPU of every variant](docs/benchmarks/{first}.png)",
        "",
        *opening.readme(everything),
        "",
        "From `scripts/bench`; how it was measured, all variants, and where it does not win:",
        "[docs/benchmarks.md](docs/benchmarks.md).",
        "",
    ]
    readme.write_text(before + begin + "\n".join(lines) + end + after)


def _page(everything: dict[str, Results]) -> Iterator[str]:
    title, method, after = TEXT.read_text().split("<!-- results -->\n")
    yield title.rstrip()
    if any(found.quick for found in everything.values()):
        yield "\n**Made with `--quick`: one short run each. The figures show that it works, and nothing else.**"
    yield ""
    yield from _in_short(everything)
    yield ""
    yield from opening.sentences(everything)
    yield "\n" + method.strip()
    yield "\n## What must hold\n"
    yield from _promises(everything)
    yield "\n## Where it does not win\n"
    yield from _losses(everything)
    for name, found in everything.items():
        yield from tables.of_workload(name, found)
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
    yield from cells.head(columns)
    for name, found in everything.items():
        part = found.part()
        mean = summary.spread(part, "defaults", "mean_mib")
        if not mean:
            continue
        others = _others(part, "mean_mib")
        best = min(others, key=others.__getitem__, default="")
        yield cells.row(
            name,
            cells.number(summary.live(found)),
            cells.middle(summary.spread(part, "plain", "mean_mib")),
            f"**{mean.median:.1f}**",
            f"{others[best]:.1f} ({VARIANTS[best].title})" if best else cells.LACKING,
            cells.times(summary.ratio(part, best, "cpu_ms_per_request")),
            cells.times(summary.ratio(part, "defaults", "cpu_ms_per_request")),
            cells.number(summary.slower(part, "defaults"), 3),
        )
    yield "\nMean RSS at part load, medians of the rounds. CPU as a ratio to the plain server that served at the same time."


def _others(found: Results, name: str) -> dict[str, float]:
    """Return the median of a figure for every variant that is neither plain nor ours."""
    spreads = {
        other: summary.spread(found, other, name)
        for other, variant in VARIANTS.items()
        if other != "plain" and not variant.library
    }
    return {other: value.median for other, value in spreads.items() if value}


def _promises(everything: dict[str, Results]) -> Iterator[str]:
    yield from cells.head(("workload", "promise", "limit", "measured", ""))
    for verdict in promises.verdicts(everything):
        yield cells.row(
            verdict.workload,
            verdict.promise,
            verdict.limit,
            verdict.measured or cells.LACKING,
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
            (found, "quiet_mib", "less memory in the quiet after the load"),
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


def _machine(everything: dict[str, Results]) -> Iterator[str]:
    described: dict[str, list[str]] = {}
    for found in everything.values():
        for key, value in found.machine.items():
            if value not in described.setdefault(key, []):
                described[key].append(value)
    yield from cells.head(("", ""))
    for key, values in described.items():
        yield cells.row(key, ", ".join(values))
    repetitions = [len(found.of("defaults")) for found in everything.values()]
    runs = sum(len(found.good()) for found in everything.values())
    yield from _busy(everything)
    yield (
        f"\n{runs} runs; {percentile(sorted(map(float, repetitions)), 50):.0f} of plain and of the defaults in the middle "
        "workload, each table says how many."
    )


def _busy(everything: dict[str, Results]) -> Iterator[str]:
    """Say what else the machine did."""
    all_runs = [run for r in everything.values() for run in (*r.good(), *r.together)]
    before = [run["busy_before"] for run in all_runs if "busy_before" in run]
    stolen = [run["steal_share"] for run in all_runs if "steal_share" in run]
    if before:
        late = sum(share > QUIET for share in before)
        yield (
            f"\nEach run waited up to a minute until the machine was at most {QUIET:.0%} busy: {late} of {len(before)} began all the same. "
            f"The hypervisor gave {statistics.median(stolen):.1%} of the time to others, {max(stolen):.1%} in the worst run."
        )
