"""Runs the comparison: `scripts/demo` prepares everything and then starts this."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from demo import load, measure, options, plot, report, rows
from demo.measure import Run
from demo.options import Options
from demo.server import Server, ServerError


def compare(chosen: Options, library: Path, console: Console) -> int:
    """Measure both runs, print table and plots, return the exit code."""
    chosen.output.mkdir(parents=True, exist_ok=True)
    targets = load.paths(chosen.requests)
    progress = Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests, RSS {task.fields[rss]:5.1f} MiB"),
        TimeElapsedColumn(),
        console=console,
    )

    def measured(name: str, preload: Path | None) -> Run:
        task = progress.add_task(name, total=chosen.requests, rss=0.0)
        server = Server(chosen.worker, database, chosen.output / f"{name}.log", preload)
        return measure.run(
            name,
            server,
            targets,
            lambda answered, rss: progress.update(task, completed=answered, rss=rss),
        )

    with tempfile.TemporaryDirectory(prefix="autotrim-demo-") as directory:
        database = Path(directory) / "rows.sqlite3"
        rows.create(database)
        with progress:
            plain = measured("plain", None)
            trimmed = measured("libautotrim", library)

    console.print()
    console.print(report.table(plain, trimmed, chosen.worker))
    console.print()
    picture = chosen.output / "rss.png"
    plot.png([plain, trimmed], chosen.worker, picture)
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
    except ServerError as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
