"""The table of results, on the terminal and as files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from compare.judge import Verdict
from compare.unit import FAIL, OK, SKIP, Run, Tally, Variant

HEAD = (
    "suite",
    "variant",
    "units",
    "ok",
    "skip",
    "fail",
    "seconds",
    "trims",
    "releases",
    "MB",
    "doubts",
    "flaky",
    "different",
)


def table(verdicts: Sequence[Verdict]) -> str:
    """Return one line per suite and variant."""
    rows = [HEAD]
    for suite in dict.fromkeys(verdict.unit.suite for verdict in verdicts):
        for variant in Variant:
            mine = [
                verdict
                for verdict in verdicts
                if verdict.unit.suite == suite and variant in verdict.runs
            ]
            if mine:
                rows.append(_row(suite, variant, mine))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(suite: str, variant: Variant, verdicts: list[Verdict]) -> tuple[str, ...]:
    counts: Counter[str] = sum(
        (verdict.counts(variant) for verdict in verdicts), Counter()
    )
    runs = [verdict.runs[variant] for verdict in verdicts]
    found = [
        difference
        for verdict in verdicts
        for difference in verdict.differences
        if difference.variant == variant
    ]
    real = sum(difference.real for difference in found)
    return (
        suite,
        variant.value,
        str(len(runs)),
        *(str(counts[outcome]) for outcome in (OK, SKIP, FAIL)),
        f"{sum(run.seconds for run in runs):.0f}",
        str(sum(run.trims for run in runs)) if variant == Variant.DEBUG else "",
        *(_released(runs) if variant == Variant.OFTEN else ("", "", "")),
        str(len(found) - real) if variant != Variant.PLAIN else "",
        str(real) if variant != Variant.PLAIN else "",
    )


def _released(runs: list[Run]) -> tuple[str, str, str]:
    """How often pools were released or garbage was collected, how much the former gave back, and how often there was a doubt."""
    tally = sum((run.tally for run in runs), Tally())
    return str(tally.releases), f"{tally.bytes / 1e6:.0f}", str(tally.doubts)


def write(verdicts: Sequence[Verdict], directory: Path) -> None:
    """Keep the table, and each test's outcome in each run."""
    (directory / "results.txt").write_text(table(verdicts) + "\n")
    results = {
        str(verdict.unit): {
            variant.value: run.outcomes for variant, run in verdict.runs.items()
        }
        for verdict in verdicts
    }
    (directory / "results.json").write_text(json.dumps(results, indent=1) + "\n")
