"""RSS over requests, all runs in one picture."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import plotext
from matplotlib.figure import Figure

from demo.measure import QUIET_SECONDS, Run
from demo.programs import Program

# Two colours that also differ for colour-blind readers; two marks for terminals without colours.
PNG_COLORS = ("#d55e00", "#0072b2")
PNG_LIVE_COLOR = "#444444"
TERMINAL_MARKERS = (("x", "red"), ("•", "blue"))
TERMINAL_LIVE_MARKER = "-"
TERMINAL_SIZE = (100, 22)


def png(runs: list[Run], program: Program, path: Path) -> None:
    """Write the picture: the load by requests, and beside it the quiet time by seconds."""
    figure = Figure(figsize=(10, 5), dpi=120, layout="constrained")
    load, quiet = figure.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    for run, color in zip(runs, PNG_COLORS, strict=True):
        under_load = [
            sample for sample in run.samples if sample.seconds <= run.load_seconds
        ]
        after_load = [
            sample for sample in run.samples if sample.seconds > run.load_seconds
        ]
        load.plot(
            [sample.requests for sample in under_load],
            [sample.rss for sample in under_load],
            color=color,
            label=run.name,
        )
        quiet.plot(
            [sample.seconds - run.load_seconds for sample in after_load],
            [sample.rss for sample in after_load],
            color=color,
        )
    if live := _live(runs):
        for axes in (load, quiet):
            axes.axhline(live, color=PNG_LIVE_COLOR, linestyle="--", label="live")
    figure.suptitle(f"RSS of {program.process} under the same load")
    load.set(xlabel="requests answered", ylabel="RSS (MiB)", ylim=(0, None))
    load.margins(x=0)
    load.legend()
    load.xaxis.set_major_formatter("{x:,.0f}")
    quiet.set(
        xlabel="seconds of quiet",
        xlim=(0, QUIET_SECONDS),
        xticks=range(QUIET_SECONDS + 1),
    )
    for axes in (load, quiet):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _live(runs: list[Run]) -> float | None:
    return next((run.live.mib for run in runs if run.live), None)


def terminal(runs: list[Run]) -> None:
    """Print the picture; the quiet time is the vertical line at the right."""
    colors = sys.stdout.isatty()
    columns, lines = shutil.get_terminal_size(TERMINAL_SIZE)
    figure = plotext.figure
    figure.clear()
    figure.plot_size(min(columns, TERMINAL_SIZE[0]), min(lines - 2, TERMINAL_SIZE[1]))
    figure.theme("colorless")
    for run, (symbol, color) in zip(runs, TERMINAL_MARKERS, strict=True):
        signal = figure.signal(
            [sample.requests for sample in run.samples],
            [sample.rss for sample in run.samples],
            marker=plotext.marker(symbol, color) if colors else symbol,
        )
        figure.draw(signal.label(run.name))
    last = max(run.samples[-1].requests for run in runs)
    if live := _live(runs):
        # It draws points.
        across = [
            last * part / TERMINAL_SIZE[0] for part in range(TERMINAL_SIZE[0] + 1)
        ]
        level = [live] * len(across)
        signal = figure.signal(across, level, marker=TERMINAL_LIVE_MARKER)
        figure.draw(signal.label("live"))
    figure.title("RSS (MiB) over requests answered")
    # Its own ticks are fractions and powers of ten.
    for axis, top in (
        ("x", last),
        ("y", math.ceil(max(sample.rss for run in runs for sample in run.samples))),
    ):
        ticks = [round(top * part / 4) for part in range(5)]
        figure.ruler(axis).lim(0, top)
        figure.ruler(axis).ticks(ticks, [f"{tick:,}" for tick in ticks])
    figure.show(colorless=not colors)
