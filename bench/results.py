"""The raw files: one JSON file for each workload, with every run in it, and one table of all runs' figures as CSV."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine, variants

Run = dict[str, Any]


@dataclass
class Results:
    """What is known of one workload."""

    workload: str
    machine: dict[str, str]
    quick: bool = False
    calibration: Run = field(default_factory=dict)
    # Why the workload was not measured, and variants that were left out, with their reasons.
    skipped: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    # What variants did that served at the same time, at a part of what plain can answer: one for each variant of each round.
    together: list[Run] = field(default_factory=list)

    def part(self) -> Results:
        """Return what was measured at part load, as if it were a workload of its own."""
        return Results(self.workload, self.machine, self.quick, runs=self.together)

    def done(self, variant: str, repetition: int) -> bool:
        """Tell whether a run has given figures; one that failed is tried again."""
        return any(
            run["variant"] == variant and run["repetition"] == repetition
            for run in self.good()
        )

    def good(self) -> list[Run]:
        """Return the runs that have figures."""
        return [run for run in self.runs if "error" not in run]

    def of(self, variant: str) -> list[Run]:
        """Return the good runs of a variant, in the order of their repetitions."""
        found = [run for run in self.good() if run["variant"] == variant]
        return sorted(found, key=lambda run: run["repetition"])

    def add(self, run: Run) -> None:
        """Add a run, in the place of a failed one."""
        key = (run["variant"], run["repetition"])
        self.runs = [r for r in self.runs if (r["variant"], r["repetition"]) != key]
        self.runs.append(run)

    def goes_with(self, other: dict[str, str], quick: bool) -> bool:
        """Tell whether runs on another machine, or of another build, may be put beside these."""
        same = all(self.machine.get(key) == other.get(key) for key in machine.IDENTITY)
        return same and self.quick == quick


def directory(output: Path) -> Path:
    """Return where the raw files are."""
    return output / "benchmarks"


def path(output: Path, workload: str) -> Path:
    """Return the file of a workload."""
    return directory(output) / f"{workload}.json"


def load(output: Path, workload: str) -> Results | None:
    """Read a workload's file, if there is one."""
    file = path(output, workload)
    if not file.exists():
        return None
    results = Results(**json.loads(file.read_text()))
    for run in (*results.runs, *results.together):
        variants.register(run["variant"])
    return results


def save(output: Path, results: Results) -> None:
    """Write a workload's file: a line for each run. An interrupted write leaves the old one."""
    file = path(output, results.workload)
    file.parent.mkdir(parents=True, exist_ok=True)
    lists = ("runs", "together")
    head = {key: value for key, value in vars(results).items() if key not in lists}
    text = json.dumps(head, indent=1)[:-2]
    for name in lists:
        lines = ",\n".join(_compact(run) for run in vars(results)[name])
        text += f',\n "{name}": [\n{lines}\n ]'
    text += "\n}\n"
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(file)


def save_table(output: Path, everything: list[Results]) -> None:
    """Write the figures of all runs as CSV."""
    rows = [
        {"workload": results.workload, "load": load} | _flat(run)
        for results in everything
        for load, runs in (("full", results.runs), ("part", results.together))
        for run in runs
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    directory(output).mkdir(parents=True, exist_ok=True)
    with (directory(output) / "runs.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _flat(run: Run, prefix: str = "") -> Run:
    """Return the single figures of a run; what belongs together is named `closed_p99_ms`."""
    flat: Run = {}
    for name, value in run.items():
        if name in ("samples", "histogram"):
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}_")
        elif isinstance(value, list):
            flat[prefix + name] = "; ".join(map(str, value))
        else:
            flat[prefix + name] = value
    return flat


def _compact(run: Run) -> str:
    return json.dumps(_rounded(run), separators=(",", ":"))


def _rounded(value: Any) -> Any:
    """Return a value with five digits where it has more: the rest is noise, and makes the files large."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
