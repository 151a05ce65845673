"""What the library costs, as one table: bench/calls.c run plain and preloaded. Started by scripts/bench-calls."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

REQUESTS = 1_000
SPAWNS = 1_000

# Instructions that the library may add, by what the call is about; None = no promise.
TARGETS = {
    "not followed": 20,
    "followed": 60,
    "server at rest": 60,
    "may wait": None,
    "few call": None,
    "listens": None,
    "after an answer": None,
}

TITLES = {
    "not followed": "instructions, descriptor not followed",
    "followed": "instructions, followed connection",
    "server at rest": "instructions, nothing answered for longer than AUTOTRIM_IDLE",
    "few call": "instructions, calls that few programs make on sockets",
    "may wait": "instructions, receives of a server that does not wait elsewhere first",
    "listens": "instructions, has listened and served nothing yet",
    "after an answer": "instructions, first wait after an answer",
}


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where nothing was promised."""

    what: str
    plain: str = ""
    preloaded: str = ""
    added: str = ""
    target: str = ""
    met: bool | None = None

    def cells(self) -> list[str]:
        verdict = "" if self.met is None else "met" if self.met else "MISSED"
        return [self.what, self.plain, self.preloaded, self.added, self.target, verdict]


HEADER = ["", "plain", "preloaded", "added", "target", ""]


class Bench:
    """Runs the C program in ways that differ in nothing but what is preloaded."""

    def __init__(
        self, program: Path, library: Path, empty: Path, scratch: Path
    ) -> None:
        self.program, self.library, self.empty, self.scratch = (
            program,
            library,
            empty,
            scratch,
        )

    def run(
        self,
        *arguments: str,
        preload: Path | None = None,
        under: tuple[str, ...] = (),
        **extra: str,
    ) -> str:
        """The program's output. What the caller's shell has set decides nothing."""
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **extra}
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        command = [*under, str(self.program), *arguments]
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(
                f"scripts/bench-calls: {' '.join(command)} failed:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def number(self, *arguments: str, preload: Path | None = None) -> float:
        return float(self.run(*arguments, preload=preload))

    def instructions(self, preload: Path | None) -> dict[str, float]:
        """Instructions of each call, by "group|call", in the order of the program."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            under = ("valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no")
            output = f"--callgrind-out-file={directory}/out"
            # No look at RSS by the clock: it would fall into one call or another.
            rounds = int(
                self.run(
                    "count",
                    preload=preload,
                    under=(*under, output),
                    AUTOTRIM_GROWTH="0",
                )
            )
            counts = {}
            for dump in sorted(
                Path(directory).glob("out.*"), key=lambda path: int(path.suffix[1:])
            ):
                text = dump.read_text()
                name = re.search(
                    r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE
                )
                summary = re.search(r"^summary: (\d+)", text, re.MULTILINE)
                if name and summary:
                    counts[name[1]] = int(summary[1]) / rounds
        return counts

    def system_calls(self, *command: str, preload: Path | None) -> Counter[str]:
        """System calls of a command, by name."""
        with tempfile.NamedTemporaryFile(dir=self.scratch) as output:
            # -E sets the variable in the traced program alone.
            under = [
                "strace",
                "-o",
                output.name,
                *(["-E", f"LD_PRELOAD={preload}"] if preload else []),
            ]
            environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
            done = subprocess.run(
                [*under, *command],
                check=False,
                env=environment,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                sys.exit(
                    f"scripts/bench-calls: strace {' '.join(command)} failed:\n{done.stderr}"
                )
            return Counter(
                re.findall(r"^(\w+)\(", Path(output.name).read_text(), re.MULTILINE)
            )

    def alternating(self, *arguments: str, rounds: int) -> tuple[float, float]:
        """Medians of a measurement, plain and preloaded, taken by turns."""
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds):
            both = [(times[0], None), (times[1], self.library)]
            for kept, preload in both if turn % 2 == 0 else reversed(both):
                kept.append(self.number(*arguments, preload=preload))
        return statistics.median(times[0]), statistics.median(times[1])


def instruction_rows(bench: Bench) -> list[Row]:
    plain, preloaded = bench.instructions(None), bench.instructions(bench.library)
    rows, group = [], ""
    for name, before in plain.items():
        kind, call = name.split("|")
        if kind != group:
            rows.append(Row(TITLES[kind]))
            group = kind
        after, target = preloaded[name], TARGETS[kind]
        rows.append(
            Row(
                f"  {call}",
                f"{before:.0f}",
                f"{after:.0f}",
                f"{after - before:+.0f}",
                "" if target is None else f"≤ {target}",
                None if target is None else round(after - before) <= target,
            )
        )
    return rows


def time_rows(bench: Bench, rounds: int) -> list[Row]:
    rows = [Row("CPU time")]
    plain, preloaded = bench.alternating("read", "1000000", rounds=rounds)
    ratio = preloaded / plain
    rows.append(
        Row(
            "  1-byte read of /dev/null",
            f"{plain:.1f} ns",
            f"{preloaded:.1f} ns",
            f"× {ratio:.3f}",
            "≤ 1.03",
            ratio <= 1.03,
        )
    )
    for mode, where in [("epoll", "epoll_wait"), ("blocking", "recv")]:
        plain, preloaded = bench.alternating(mode, "20000", rounds=rounds)
        rows.append(
            Row(
                f"  a request, server waits in {where}",
                f"{plain / 1e3:.2f} µs",
                f"{preloaded / 1e3:.2f} µs",
                f"× {preloaded / plain:.3f}",
            )
        )
    look = statistics.median(bench.number("look", "20000") for _ in range(rounds))
    rows.append(Row("  one look at RSS", f"{look / 1e3:.2f} µs"))
    fault = statistics.median(bench.number("fault", "16384") for _ in range(rounds))
    rows.append(Row("  a page taken back after a trim", f"{fault / 1e3:.2f} µs"))
    for size, holes in [("100 MB", "25000"), ("1 GB", "250000"), ("4 GB", "1000000")]:
        trim, live = bench.run("live", holes).split()
        what = f"a heap of {size} with {int(holes):,} holes"
        rows.append(Row(f"  {what}: a trim that finds nothing", f"{trim} ms"))
        rows.append(Row("  the same: asking what is live", f"{live} ms"))
    return rows


def malloc_rows(bench: Bench, rounds: int) -> list[Row]:
    """How long trims hold up another thread's malloc: malloc_trim alone, and with the tops of arenas."""
    each_request = {
        "AUTOTRIM_INTERVAL": "1",
        "AUTOTRIM_OVERHEAD": "0",
        "AUTOTRIM_LOG": "off",
    }
    without_tops = each_request | {"AUTOTRIM_TRIM_THRESHOLD": "0"}
    settings = [("none", None, {}), ("malloc_trim", bench.library, without_tops)]
    settings.append(("with tops", bench.library, each_request))
    found: dict[str, list[list[float]]] = {name: [] for name, *_ in settings}
    for _ in range(rounds):
        for name, preload, environment in settings:
            output = bench.run("malloc", "100", preload=preload, **environment)
            found[name].append([float(number) for number in output.split()])
    rows = [Row("longest malloc of another thread: beside no trim, beside trims")]
    (before, longest_before) = map(statistics.median, zip(*found["none"], strict=True))
    for name in ("malloc_trim", "with tops"):
        middle, longest = map(statistics.median, zip(*found[name], strict=True))
        for label, plain, ours in [
            (f"  {name}, median of 100", before, middle),
            (f"  {name}, longest of 100", longest_before, longest),
        ]:
            rows.append(Row(label, f"{plain:.0f} µs", f"{ours:.0f} µs"))
    return rows


def names(difference: Counter[str], per: int) -> str:
    """What the difference is made of, most frequent first; noise of less than 0.01 is left out."""
    parts = [
        f"{name} {count / per:+.4g}"
        for name, count in difference.most_common()
        if abs(count / per) >= 0.01
    ]
    return ", ".join(parts)


def subtract(after: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter(
        {
            name: after[name] - before[name]
            for name in after | before
            if after[name] != before[name]
        }
    )


def system_call_rows(bench: Bench) -> tuple[list[Row], list[str]]:
    rows, notes = [Row("system calls")], []
    plain, empty, preloaded = (
        bench.system_calls("true", preload=preload)
        for preload in (None, bench.empty, bench.library)
    )
    for label, baseline in [
        ("true, against none", plain),
        ("true, against an empty library", empty),
    ]:
        added = preloaded.total() - baseline.total()
        rows.append(
            Row(
                f"  {label}",
                f"{baseline.total()}",
                f"{preloaded.total()}",
                f"{added:+d}",
                "≤ 5",
                added <= 5,
            )
        )
        notes.append(f"{label}: {names(subtract(preloaded, baseline), 1)}")
    for mode, where in [("epoll", "epoll_wait"), ("blocking", "recv")]:
        # Twice as many requests less as many: start-up cancels.
        once, twice = (
            [
                bench.system_calls(
                    str(bench.program), mode, str(requests), preload=preload
                )
                for preload in (None, bench.library)
            ]
            for requests in (REQUESTS, 2 * REQUESTS)
        )
        plain, preloaded = (
            subtract(after, before) for before, after in zip(once, twice)
        )
        label = f"a request, server waits in {where}"
        before, after = plain.total() / REQUESTS, preloaded.total() / REQUESTS
        rows.append(
            Row(f"  {label}", f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
        )
        notes.append(f"{label}: {names(subtract(preloaded, plain), REQUESTS)}")
    return rows, notes


def start_rows(bench: Bench) -> list[Row]:
    plain, empty, preloaded = map(
        float,
        bench.run("spawn", str(SPAWNS), str(bench.empty), str(bench.library)).split(),
    )
    rows = [Row("time")]
    for against, before in [("none", plain), ("an empty library", empty)]:
        added = preloaded - before
        label = f"  true, against {against}"
        rows.append(
            Row(
                label,
                f"{before:.0f} µs",
                f"{preloaded:.0f} µs",
                f"{added:+.0f} µs",
                "≤ 200 µs",
                added <= 200,
            )
        )
    return rows


# The same three numbers as the C program's, of an interpreter that has used its C library already.
PYTHON_MEMORY = """
lines = dict(line.split(":") for line in open("/proc/self/smaps_rollup") if ":" in line.split()[0])
print(*(lines[name].split()[0] for name in ("Rss", "Pss", "Private_Dirty")))
"""


def memory_rows(bench: Bench, rounds: int) -> list[Row]:
    rows = [Row("memory of a process that serves nothing")]
    python = Bench(Path(sys.executable), bench.library, bench.empty, bench.scratch)
    programs = [
        ("a minimal C program", bench, ["memory"]),
        ("python3", python, ["-I", "-c", PYTHON_MEMORY]),
    ]
    for program, runner, arguments in programs:
        plain, empty, preloaded = (
            [
                statistics.median(column)
                for column in zip(
                    *(
                        map(int, runner.run(*arguments, preload=preload).split())
                        for _ in range(rounds)
                    ),
                    strict=True,
                )
            ]
            for preload in (None, bench.empty, bench.library)
        )
        kinds = ("resident", "proportional", "private dirty")
        for kind, before, with_empty, after in zip(
            kinds, plain, empty, preloaded, strict=True
        ):
            for against, baseline in [
                ("none", before),
                ("an empty library", with_empty),
            ]:
                added, cells = (
                    after - baseline,
                    (f"{baseline:.0f} KB", f"{after:.0f} KB"),
                )
                # The promise is about resident memory; the other two say how much of it is this process's alone.
                promise = ("≤ 64 KB", added <= 64) if kind == "resident" else ("", None)
                rows.append(
                    Row(
                        f"  {program}: {kind}, against {against}",
                        *cells,
                        f"{added:+.0f} KB",
                        *promise,
                    )
                )
    return rows


def as_text(rows: list[Row]) -> str:
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    lines = []
    for line in cells:
        numbers = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))
        lines.append("  ".join([line[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


def as_markdown(rows: list[Row]) -> str:
    lines = ["| | plain | preloaded | added | target | |", "|---|--:|--:|--:|--:|---|"]
    for row in rows:
        cells = row.cells()
        if not row.plain:
            cells[0] = f"**{row.what}**"
        lines.append("| " + " | ".join(cell.strip() for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench-calls", description="What a hooked call costs, as a table."
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the table for docs/costs.md"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=15,
        help="rounds of each time, plain and preloaded by turns (7 or more)",
    )
    for name in ("program", "library", "empty", "scratch"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 7:
        parser.error("--rounds: 7 or more, else the medians mean nothing")
    # scripts/bench-calls checks the arguments before it builds anything.
    if arguments.program is None:
        return
    bench = Bench(
        arguments.program, arguments.library, arguments.empty, arguments.scratch
    )
    calls, notes = system_call_rows(bench)
    rows = [
        *instruction_rows(bench),
        *time_rows(bench, arguments.rounds),
        *malloc_rows(bench, arguments.rounds),
        *calls,
        *start_rows(bench),
        *memory_rows(bench, arguments.rounds),
    ]
    if arguments.markdown:
        print(
            as_markdown(rows), *(f"- System calls, {note}" for note in notes), sep="\n"
        )
    else:
        print(as_text(rows), "", *notes, sep="\n")


if __name__ == "__main__":
    main()
