"""Ruby's own tests of what waits and what collects, by the system's Ruby, while its garbage is collected at nearly every wait of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from compare import sources
from compare.unit import FAIL, OK, SKIP, Unit

QUICK = ["test_thread_queue", "test_weakmap", "test_objectspace", "fiber", "monitor"]
# Longest first: nobody waits for the last one.
FULL = [
    "test_process",
    "test_io",
    "test_thread",
    "test_gc",
    "socket",
    "test_signal",
    "test_io_m17n",
    "test_fiber",
    "test_thread_cv",
    "test_sleep",
    *QUICK,
]
# These wait for nothing in a call of Ruby's own: nothing is collected there, and they show that the library is in nobody's way.
WITHOUT_WAITS = {
    *("test_gc", "test_fiber", "test_thread_cv", "test_sleep"),
    *("test_thread_queue", "test_weakmap", "test_objectspace", "monitor"),
}
# [1/9] TestFiber#test_error = 0.10 s, with what the test prints before the "=", and what is said at the end of one that did not succeed.
BEGUN = re.compile(r"^\[ *\d+/\d+\] ([\w:]+#\w+[?!]?)", re.MULTILINE)
FAILED = re.compile(r"^ *\d+\) (\w+):\n([\w:]+#\w+[?!]?)", re.MULTILINE)

# Ruby 3.1 frees a fiber that nothing but the queue of a lock, or of who joins a thread, names: these crash plain, too, where a scheduler calls
# GC.start before its IO.select.
LEFT_OUT = "fiber/test_(mutex|thread)"


class File(Unit):
    """One file of tests, or one directory."""

    suite = "ruby"
    seconds = 900
    # Many of its tests look at the stderr of a process.
    may_log = False
    often = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.is_proof = name not in WITHOUT_WAITS

    def prepare(self) -> None:
        """Unpack the sources."""
        sources.need("ruby")
        sources.source("ruby3.1")

    def environment(self) -> dict[str, str]:
        """Return what has each quiet moment begin with a collection, too."""
        return {"AUTOTRIM_GC": "ruby"}

    def directory(self, scratch: Path) -> Path:
        """Return the root of the sources, where the tests look for each other."""
        return sources.source("ruby3.1")

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Run the file; of it only the named tests."""
        tree = sources.source("ruby3.1")
        place = f"ruby/{self.name}.rb" if self.name.startswith("test_") else self.name
        names = [test.partition(" ")[0] for test in tests]
        chosen = (
            ["-n", f"/\\A(?:{'|'.join(map(re.escape, names))})\\z/"] if tests else []
        )
        return [
            *(
                "ruby",
                "-I",
                "tool/lib",
                "tool/test/runner.rb",
                f"--ruby={shutil.which('ruby')}",
            ),
            *(
                "--seed=1",
                "--no-retry",
                "--show-skip",
                "-v",
                *("-x", LEFT_OUT),
                *chosen,
                str(tree / "test" / place),
            ),
        ]

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Read the line of each test, and what is said at the end of those that did not succeed."""
        others = {
            name: SKIP if kind == "Skipped" else FAIL
            for kind, name in FAILED.findall(output)
        }
        return [(name, others.get(name, OK)) for name in sorted(BEGUN.findall(output))]


def units(quick: bool) -> list[Unit]:
    """Return one unit for each file."""
    return [File(name) for name in (QUICK if quick else FULL)]
