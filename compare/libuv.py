"""libuv's own tests: TCP, UDP, pipes, descriptors passed between processes, signals, child processes, threads."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from compare import sources
from compare.unit import FAIL, OK, SKIP, Unit

LINE = re.compile(r"^(not ok|ok) \d+ - (\S+)( # SKIP)?", re.MULTILINE)
# They connect to addresses of the internet: what comes of that, and when, is the network's matter.
OUTSIDE = {"tcp_close_while_connecting", "tcp_connect_timeout"}
# The entry of a test in the runner's list, up to the field that says whether its output is shown.
QUIET = re.compile(r"(&run_test_##name, 0, )0(?=, 5000 \})")


class Tests(Unit):
    """All tests: they use fixed ports, and so run one after another."""

    suite = "libuv"

    def prepare(self) -> None:
        """Build the tests."""
        program()

    def directory(self, scratch: Path) -> Path:
        """Return the source directory, where the tests find their files."""
        return sources.source("libuv1")

    def environment(self) -> dict[str, str]:
        """Return what the Debian package sets for its tests, and that root is root."""
        return {
            "RES_OPTIONS": "attempts:0",
            "UV_TEST_TIMEOUT_MULTIPLIER": "2",
            "UV_RUN_AS_ROOT": "1",
        }

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Run all tests, or each of these."""
        if not tests:
            return [str(program())]
        return ["sh", "-c", 'for test; do "$0" "$test"; done', str(program()), *tests]

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Read lines of the Test Anything Protocol."""
        return [
            (name, FAIL if result == "not ok" else SKIP if skipped else OK)
            for result, name, skipped in LINE.findall(output)
            if name not in OUTSIDE
        ]


@functools.cache
def program() -> Path:
    """Build the tests, once."""
    directory = sources.source("libuv1")
    build = directory / "build"
    if not (built := build / "uv_run_tests").exists():
        sources.need("cmake", "make", "cc")
        # The runner shows what a test wrote when it fails. Here it always does: the library's log is there, too.
        header = directory / "test" / "runner.h"
        header.write_text(re.sub(QUIET, r"\g<1>1", header.read_text()))
        sources.call(
            [
                *("cmake", "-S", str(directory), "-B", str(build)),
                *("-DLIBUV_BUILD_BENCH=OFF", "-DCMAKE_BUILD_TYPE=Debug"),
            ]
        )
        jobs = f"-j{os.cpu_count() or 1}"
        sources.call(["cmake", "--build", str(build), jobs, "--target", built.name])
    return built


def units(quick: bool) -> list[Unit]:
    """Return the one unit."""
    return [Tests("all")]
