"""What a suite is made of: units, each one program run that reports on many tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

OK, SKIP, FAIL = "ok", "skip", "fail"
# The pseudo-test that says whether the program came to its end by itself.
WHOLE = "(the whole run)"


class Variant(StrEnum):
    """How a unit is run."""

    PLAIN = "plain"
    PRELOADED = "preloaded"
    DEBUG = "preloaded-debug"
    # With a build of the library that releases CPython's free pools at every hundredth chance, and collects Node's and Ruby's garbage at nearly
    # every wait.
    OFTEN = "preloaded-often"


class Unit:
    """One program run. Its subclasses know the program."""

    suite: str
    # Until then it is done, or it hangs.
    seconds = 300
    # Whether log lines on stderr cannot disturb it.
    may_log = True
    # Whether it is run to have the runtime's memory given back all the time, and for nothing else.
    often = False
    # Whether something is to be given back then.
    is_proof = True
    # Whether it is so short that a quick run has time for it with the log and without.
    short = False

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{self.suite} {self.name}"

    def prepare(self) -> None:
        """Build what the run needs, once."""

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Return what to run in the empty directory `scratch`: all tests, or at least these."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return variables to be added to the clean environment."""
        return {}

    def directory(self, scratch: Path) -> Path:
        """Return the directory to run in."""
        return scratch

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Return the name and the outcome of each test, in the order in which they ran."""
        raise NotImplementedError

    def logs(self, scratch: Path) -> list[Path]:
        """Return files, beside the output, that hold the stderr of a process."""
        return []


@dataclass(frozen=True)
class Run:
    """What one run of a unit gave."""

    outcomes: dict[str, str]
    seconds: float
    # Trims that the library reported, those that garbage was collected for, and lines of it altogether.
    trims: int
    collections: int
    lines: int
    tally: Tally


@dataclass(frozen=True)
class Tally:
    """What the library that gives back so often says of all processes of a run (src/sys/tally.rs)."""

    releases: int = 0
    bytes: int = 0
    doubts: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.releases + other.releases,
            self.bytes + other.bytes,
            self.doubts + other.doubts,
        )


class MissingError(Exception):
    """Something that must be installed is not."""
