"""One picture a workload: RSS over time of some variants, and bars of all."""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import summary
from bench.results import Results
from bench.variants import VARIANTS

# Those that the picture is about differ for colour-blind readers too.
COLORS = {"plain": "#d55e00", "defaults": "#0072b2"}
# Over time these alone, where bars show all: more lines than that hide each other.
OVER_TIME = {"plain", "defaults", "arenas-1", "trim-threshold", "jemalloc-tuned"}
Bars = tuple[str, str]


def draw(results: Results, title: str, path: Path) -> None:
    """Write the picture of a workload."""
    names = [name for name in VARIANTS if results.of(name)]
    bars = _bars(results)
    figure = Figure(figsize=(11, 9 if bars else 5.5), dpi=90, layout="constrained")
    figure.suptitle(title)
    if not bars:
        _lines(figure.subplots(), results, names, set(names))
    else:
        upper, lower = figure.subfigures(2, 1, height_ratios=(6, 5))
        _lines(upper.subplots(), results, names, OVER_TIME)
        row = lower.subplots(1, len(bars), sharey=True, squeeze=False)[0]
        for axes, (figure_name, label) in zip(row, bars, strict=True):
            _bar(axes, results, names, figure_name, label)
        # The first variant at the top; the axis is one for all.
        row[0].invert_yaxis()
    figure.savefig(path)


def _bars(results: Results) -> list[Bars]:
    if results.workload == "oom":
        return []
    if results.workload == "burst-then-quiet":
        moments = [name for name in results.good()[0] if name.startswith("after_")]
        return [(name, f"MiB {name.split('_')[1]} after the burst") for name in moments]
    return [
        ("mean_mib", "mean RSS under load (MiB)"),
        ("cpu_ms_per_request", "CPU per request (ms)"),
    ]


def _color(name: str, names: list[str]) -> object:
    if name in COLORS:
        return COLORS[name]
    others = [other for other in names if other not in COLORS]
    # From the fifth on: the first four are blue and orange again.
    return colormaps["tab20"](4 + others.index(name) % 16)


def _lines(axes: Axes, results: Results, names: list[str], drawn: set[str]) -> None:
    for name in [name for name in names if name in drawn]:
        # The middle one of its runs, not a mean that no process ever had.
        runs = sorted(
            results.of(name), key=lambda run: run.get("mean_mib", run["repetition"])
        )
        samples = runs[len(runs) // 2]["samples"]
        chosen = name in COLORS
        axes.plot(
            [seconds for seconds, _ in samples],
            [mib for _, mib in samples],
            color=_color(name, names),
            label=VARIANTS[name].title,
            linewidth=2.2 if chosen else 1.0,
            zorder=3 if chosen else 2,
        )
    floor = summary.floor(results)
    if floor:
        axes.axhline(floor, color="black", linestyle=":", label="the floor")
    axes.set(xlabel="seconds", ylabel="RSS (MiB)", ylim=(0, None))
    axes.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False
    )
    _plain_frame(axes)


def _bar(
    axes: Axes, results: Results, names: list[str], figure_name: str, label: str
) -> None:
    found = {name: summary.spread(results, name, figure_name) for name in names}
    shown = {name: spread for name, spread in found.items() if spread}
    middle = [spread.median for spread in shown.values()]
    reach = (
        [spread.median - spread.low for spread in shown.values()],
        [spread.high - spread.median for spread in shown.values()],
    )
    colors = [_color(name, names) for name in shown]
    titles = [VARIANTS[name].title for name in shown]
    axes.barh(titles, middle, xerr=reach, color=colors, ecolor="#444444", capsize=2)
    axes.set(xlabel=label, xlim=(0, None))
    axes.tick_params(labelsize="small")
    _plain_frame(axes)


def _plain_frame(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
