"""One picture a workload: RSS over time of some variants, and beside it memory against CPU of all."""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import summary
from bench.results import Results
from bench.variants import BUDGETS, VARIANTS

# Those that the picture is about differ for colour-blind readers too.
COLORS = {"plain": "#d55e00", "defaults": "#0072b2"}
# Over time these alone, where bars show all: more lines than that hide each other.
OVER_TIME = {"plain", "defaults", "arenas-1", "trim-threshold", "jemalloc-tuned"}


def draw(results: Results, title: str, path: Path) -> None:
    """Write the picture of a workload."""
    names = [name for name in VARIANTS if results.of(name)]
    figure = Figure(figsize=(14, 5.5), dpi=90, layout="constrained")
    figure.suptitle(title)
    if results.workload in ("oom", "burst-then-quiet", "preload"):
        _lines(figure.subplots(), results, names, set(names))
    else:
        left, right = figure.subplots(1, 2)
        _lines(left, results, names, OVER_TIME)
        part = results.part() if results.together else results
        load = "part load" if results.together else "full load"
        _points(right, part, load)
    figure.savefig(path)


def _points(axes: Axes, results: Results, load: str) -> None:
    """Draw a point for each variant, plain at (1, 1): who is below and left of another is better in both."""
    found = {}
    for name in VARIANTS:
        cpu = summary.ratio(results, name, "cpu_ms_per_request")
        mean = summary.ratio(results, name, "mean_mib")
        if cpu and mean:
            found[name] = (cpu.median, mean.median)
    ours = sorted(found[name] for name in ("defaults", *BUDGETS) if name in found)
    axes.plot(*zip(*ours, strict=True), color=COLORS["defaults"], zorder=2)
    for name, point in found.items():
        color = COLORS["defaults"] if VARIANTS[name].library else "#444444"
        axes.plot(*point, "o", color=COLORS.get(name, color), zorder=3)
        short = VARIANTS[name].title.removeprefix("libautotrim, ")
        axes.annotate(
            short, point, xytext=(4, 4), textcoords="offset points", fontsize="x-small"
        )
    axes.set(xlabel=f"CPU per request at {load}, × plain", ylabel="mean RSS, × plain")
    axes.set_ylim(0, None)
    _plain_frame(axes)


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
    live = summary.live(results)
    if live:
        axes.axhline(live, color="black", linestyle=":", label="live")
    figure = "PSS" if results.workload == "preload" else "RSS"
    axes.set(xlabel="seconds", ylabel=f"{figure} (MiB)", ylim=(0, None))
    axes.legend(loc="best", fontsize="x-small")
    _plain_frame(axes)


def _plain_frame(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
