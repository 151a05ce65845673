"""Node's own tests: servers and clients, clusters, worker threads, and what is collected when. Its garbage is, in each quiet moment."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from compare import sources
from compare.unit import FAIL, OK, SKIP, MissingError, Unit

# Files of tests by what begins their names, or is in them: longest first.
FULL = {
    "http-a-k": r"http-[a-k]",
    "http-l-z": r"http-[l-z]",
    "net": r"net-",
    "cluster": r"cluster-",
    "worker": r"worker-",
    "gc": r"(.*-)?(gc|heap|heapdump|heapsnapshot|finalization|weakref)\b",
}
QUICK = ["gc"]
# As tools/test.py has it: less than what a machine with other work may need, more than any test takes.
SECONDS = 60
FIRST_PORT = 12_346
FLAGS = re.compile(r"^// Flags:(.*)$", re.MULTILINE)
# Debian's list of what fails, needs a network, or is decided by chance.
STATUS = re.compile(r"^(test-\S+?)\s*:\s*(.+)$", re.MULTILINE)
LINE = re.compile(r"^compare: (\S+) ended with (\d+)$", re.MULTILINE)
SKIPPED = re.compile(r"^1\.\.0 # Skipped:", re.MULTILINE)
# Runs one test and says how it ended; what it wrote is between the line before and that.
RUN = """\
run() {
    name=$1
    shift
    timeout --kill-after=5 "$SECONDS_OF_A_TEST" "$@"
    printf '\\ncompare: %s ended with %s\\n' "$name" $?
}
"""


class Group(Unit):
    """Files of tests, each a process, one after another."""

    suite = "node"
    seconds = 1800

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name)
        self.port = port

    def prepare(self) -> None:
        """Fetch the tests, and find the program."""
        program()

    def environment(self) -> dict[str, str]:
        """Return what tools/test.py and Debian set, and what has garbage collected in each quiet moment."""
        return {
            "NODE_COMMON_PORT": str(self.port),
            "NODE_TEST_NO_INTERNET": "1",
            "SECONDS_OF_A_TEST": str(SECONDS),
            "AUTOTRIM_GC": "node",
        }

    def directory(self, scratch: Path) -> Path:
        """Return the source directory: tests find their files by it."""
        return sources.source("nodejs")

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Run all files, or each of these."""
        lines = [RUN, f"export NODE_TEST_DIR={shlex.quote(str(scratch))}"]
        for file in self.files():
            name = file.stem
            if not tests or name in tests:
                flags = shlex.join(_flags(file))
                lines.append(f"run {name} {shlex.quote(program())} {flags} {file}")
        script = scratch / "run.sh"
        script.write_text("\n".join(lines) + "\n")
        return ["sh", str(script)]

    def files(self) -> list[Path]:
        """Return the files of this group."""
        tests = sources.source("nodejs") / "test"
        wanted = re.compile(rf"test-{FULL[self.name]}")
        return [
            file
            for directory in ("parallel", "sequential")
            for file in sorted((tests / directory).glob("test-*.*js"))
            if wanted.match(file.name) and file.stem not in _left_out()
        ]

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Read how each ended; a test that does not want to run here says so, and ends well."""
        result, begin = [], 0
        for line in LINE.finditer(output):
            name, status = line.groups()
            wrote = output[begin : line.start()]
            passed = SKIP if SKIPPED.search(wrote) else OK
            result.append((name, passed if status == "0" else FAIL))
            begin = line.end()
        return result


class Collected(Group):
    """The same, while garbage is collected at nearly every wait."""

    suite = "collected"
    often = True


def _flags(file: Path) -> list[str]:
    flags = FLAGS.search(file.read_text())
    return shlex.split(flags[1]) if flags else []


@functools.cache
def _left_out() -> set[str]:
    """Return the tests that Debian does not run, or does not trust."""
    tests = sources.source("nodejs") / "test"
    return {
        name
        for directory in ("parallel", "sequential")
        for name, _ in STATUS.findall(
            (tests / directory / f"{directory}.status").read_text().split("[$")[0]
        )
    }


@functools.cache
def program() -> str:
    """Return a Node of the version that the tests are for: COMPARE_NODE, the system's, or npm's."""
    [wanted] = re.findall(r"nodejs-(\d+)\.", sources.source("nodejs").name)
    if named := os.environ.get("COMPARE_NODE"):
        return named
    if (found := shutil.which("node")) and _version(found) == wanted:
        return found
    script = [str(sources.ROOT / "scripts" / "npm"), "node"]
    modules = Path(sources.call(script).splitlines()[-1])
    if (npm := modules / f"node-{wanted}" / "bin" / "node").exists():
        return str(npm)
    raise MissingError(f"no Node {wanted} here: COMPARE_NODE names one")


def _version(node: str) -> str:
    done = subprocess.run([node, "--version"], capture_output=True, check=False)
    return done.stdout.decode().removeprefix("v").partition(".")[0]


def units(quick: bool) -> list[Unit]:
    """Return one unit for each group, each with ports of its own."""
    return [
        Group(name, FIRST_PORT + 100 * number)
        for number, name in enumerate(QUICK if quick else FULL)
    ]


def units_with_collections(quick: bool) -> list[Unit]:
    """Return the same for the build of the library that collects at nearly every wait, with ports of their own."""
    return [
        Collected(name, FIRST_PORT + 100 * (len(FULL) + number))
        for number, name in enumerate(QUICK if quick else FULL)
    ]
