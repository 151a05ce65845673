"""CPython's own test suite, of the system's interpreter: Debian packages it apart from the interpreter."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from compare.unit import FAIL, OK, SKIP, MissingError, Unit

# Longest first: nobody waits for the last one.
FULL = [
    "test_asyncio",
    "test_multiprocessing_spawn",
    "test_multiprocessing_fork",
    "test_subprocess",
    "test_socket",
    "test_ssl",
    "test_threading",
    "test_signal",
    "test_selectors",
    "test_io",
    "test_faulthandler",
    "test_poll",
    "test_fork1",
    "test_os",
    "test_socketserver",
    "test_httpservers",
    "test_posix",
    "test_select",
    "test_epoll",
    "test_thread",
    "test_fcntl",
]
QUICK = [
    "test_selectors",
    "test_socketserver",
    "test_httpservers",
    "test_posix",
    "test_os",
    "test_select",
    "test_epoll",
    "test_thread",
    "test_fcntl",
    "test_fork1",
]
# Needs a hypervisor's sockets (AF_VSOCK), and where those do not reach the machine itself, it waits for ever.
LEFT_OUT = "ThreadedVSOCKSocketStreamTest"
# Asks for it, and stays on the loopback interface.
NETWORK = {"test_socketserver"}
# Look at the stderr of processes that serve others.
SILENT = {"test_multiprocessing_spawn", "test_multiprocessing_fork"}


class Module(Unit):
    """One test module, run by regrtest."""

    suite = "cpython"
    seconds = 600
    short = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.may_log = name not in SILENT

    def command(self, scratch: Path, tests: list[str]) -> list[str]:
        """Run the module; of it only the named tests, whatever their subtests are."""
        chosen = [
            argument for test in tests for argument in ("-m", test.partition(" ")[0])
        ]
        resources = ["-u", "network"] if self.name in NETWORK else []
        return [
            *(interpreter(), "-m", "test", "--junit-xml", str(scratch / "results.xml")),
            *("-i", LEFT_OUT, *resources, *chosen, self.name),
        ]

    def outcomes(self, scratch: Path, output: str) -> list[tuple[str, str]]:
        """Read regrtest's XML; there is none where the interpreter was killed."""
        results = scratch / "results.xml"
        if not results.is_file():
            return []
        return [
            (case.get("name", "?"), _outcome(case))
            for case in ElementTree.parse(results).iter("testcase")
        ]


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return FAIL
    return SKIP if "skipped" in kinds else OK


@functools.cache
def interpreter() -> str:
    """Return the first Python that has its own tests: the system's, if possible."""
    for candidate in ("/usr/bin/python3", shutil.which("python3")):
        if candidate and Path(candidate).exists():
            probe = [candidate, "-c", "import test.test_socket"]
            if not subprocess.run(
                probe, capture_output=True, check=False, cwd="/"
            ).returncode:
                return candidate
    raise MissingError(
        "no Python here has its tests (Debian: apt install libpython3.11-testsuite)"
    )


def units(quick: bool) -> list[Unit]:
    """Return one unit for each test module."""
    return [Module(name) for name in (QUICK if quick else FULL)]
