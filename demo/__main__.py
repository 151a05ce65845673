"""Runs the comparison: `scripts/demo` prepares everything and then starts this."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from subprocess import CalledProcessError

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from demo import load, measure, options, plot, programs, report
from demo.measure import Run
from demo.options import Options
from demo.programs import Program
from demo.server import Server, ServerError
from live import floor


def compare(chosen: Options, library: Path, console: Console) -> int:
    """Measure both runs, print table and plots, return the exit code."""
    chosen.output.mkdir(parents=True, exist_ok=True)
    progress = Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests, RSS {task.fields[rss]:5.1f} MiB"),
        TimeElapsedColumn(),
        console=console,
    )

    def measured(name: str, program: Program, preload: Path | None) -> Run:
        task = progress.add_task(name, total=chosen.requests, rss=0.0)
        log = chosen.output / f"{name}.log"
        return measure.run(
            name,
            Server(program, log, preload, probe),
            load.paths(chosen.requests, program.load),
            lambda answered, rss: progress.update(task, completed=answered, rss=rss),
        )

    with tempfile.TemporaryDirectory(prefix="autotrim-demo-") as name:
        directory = Path(name)
        probe = floor.compiled_probe(directory)
        with (
            programs.prepared(chosen.server, chosen.worker, directory) as program,
            progress,
        ):
            plain = measured("plain", program, None)
            trimmed = measured("libautotrim", program, library)

    console.print()
    console.print(report.table(plain, trimmed, program))
    console.print()
    picture = chosen.output / "rss.png"
    plot.png([plain, trimmed], program, picture)
    plot.terminal([plain, trimmed])
    console.print(f"\n{picture}", soft_wrap=True)

    problems = report.problems(plain, trimmed)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def main() -> int:
    """Read the command line and run; return the exit code."""
    chosen = options.parse()
    library = chosen.library.resolve()
    if not library.is_file():
        print(
            f"scripts/demo: there is no {library}: run cargo build --release",
            file=sys.stderr,
        )
        return 1
    if any(character in " :\t\n" for character in str(library)):
        print(
            f"scripts/demo: LD_PRELOAD splits at spaces and colons: {library}",
            file=sys.stderr,
        )
        return 1
    # A terminal that closes, or a kill, stops the server as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return compare(chosen, library, Console())
    except KeyboardInterrupt:
        print("scripts/demo: interrupted, the server is stopped", file=sys.stderr)
        return 130
    except (ServerError, CalledProcessError) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
