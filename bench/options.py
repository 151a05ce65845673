"""The command line of scripts/bench. Standard library only: the script runs this before it builds anything."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, variants, workloads
from bench.variants import VARIANTS
from demo.options import positive


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    workload: list[str]
    variant: list[str]
    repetitions: int | None
    quick: bool
    fresh: bool
    report: bool
    plan: bool
    output: Path
    library: Path | None


def _variant(text: str) -> str:
    return variants.register(text)


_variant.__name__ = "variant"


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; help and errors end the process, as usual with argparse."""
    known = list(VARIANTS)
    groups = sorted({workload.group for workload in workloads.ALL.values()})
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure real servers under the same load: plain, with libautotrim, and with every alternative, "
        "alternating. A run that is cut short goes on where it was: what has been measured is not measured again.",
        epilog=f"Workloads: {', '.join(workloads.ALL)}; groups of them: {', '.join(groups)}. "
        f"Variants: {', '.join(VARIANTS)}.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="six minutes: nearly every workload, a few variants, one repetition, small loads",
    )
    parser.add_argument(
        "--workload",
        action="append",
        choices=[*workloads.ALL, *groups],
        metavar="NAME",
        help="only this workload, or this group (may be given several times)",
    )
    parser.add_argument(
        "--variant",
        action="append",
        type=_variant,
        metavar="NAME",
        help="only this variant (may be given several times); AUTOTRIM_GROWTH=8M+AUTOTRIM_IDLE=0, say, is one as well",
    )
    parser.add_argument(
        "--repetitions",
        type=positive,
        metavar="N",
        help="of every variant (default: 3 of plain and the defaults, 2 or fewer of the others), and rounds at part load (10)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="forget earlier results of these workloads",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure nothing: make report and plots anew from the raw files",
    )
    parser.add_argument(
        "--plan", action="store_true", help="only say what would be measured"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where benchmarks.md and benchmarks/ go (default: docs; with --quick target/bench)",
    )
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    given = vars(parser.parse_args(arguments))
    if sys.platform != "linux":
        parser.exit(1, f"scripts/bench: needs Linux, this is {sys.platform}\n")
    default = ROOT / "target" / "bench" if given["quick"] else ROOT / "docs"
    given["output"] = given["output"] or default
    wanted = given["workload"] or [
        name
        for name, workload in workloads.ALL.items()
        if workload.in_quick or not given["quick"]
    ]
    given["workload"] = [
        name
        for name, workload in workloads.ALL.items()
        if name in wanted or workload.group in wanted
    ]
    given["variant"] = given["variant"] or known
    return Options(**given)


if __name__ == "__main__":
    parse()
