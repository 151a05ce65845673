"""Measures, and makes the report: `scripts/bench` prepares everything and then starts this."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from bench import machine, options, report, runner
from bench.options import Options
from bench.runner import Runner
from bench.services import Services


def measure(chosen: Options, library: Path) -> list[str]:
    """Measure what is missing; return what went wrong."""
    count, minutes = runner.plan(chosen)
    print(f"{count} runs, about {minutes:.0f} minutes", flush=True)
    if chosen.plan:
        return []
    made = Runner(chosen, library, machine.describe(library))
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        made.run(services)
    return made.problems


def main() -> int:
    """Read the command line and run; return the exit code."""
    chosen = options.parse()
    # A terminal that closes, or a kill, stops the servers as Ctrl-C does; also in a shell's background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    problems = []
    try:
        if not chosen.report:
            assert chosen.library, "scripts/bench names it"
            problems = measure(chosen, chosen.library.resolve())
        if not chosen.plan:
            print(report.make(chosen.output), flush=True)
    except KeyboardInterrupt:
        print(
            "scripts/bench: interrupted, the servers are stopped; the same command goes on from here",
            file=sys.stderr,
        )
        return 130
    for problem in problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
