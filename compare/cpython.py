"""CPython's own test suite, of the system's interpreter: Debian packages it apart from the interpreter."""

from __future__ import annotations

import functools
import os
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
# What works on objects of every kind, and on the interpreter itself.
OBJECTS = [
    "test_weakref",
    "test_pickle",
    "test_json",
    "test_decimal",
    "test_capi",
    "test_embed",
    "test_interpreters",
    "test_gc",
    "test_set",
    "test_list",
    "test_dict",
    "test_memoryview",
]
QUICK_OBJECTS = [
    "test_gc",
    "test_list",
    "test_dict",
    "test_memoryview",
    "test_selectors",
    "test_thread",
    "test_fork1",
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


class Pooled(Module):
    """The same, while CPython's free pools are released all the time."""

    suite = "pools"
    often = True
    # A release takes longer than what a test does between two of them.
    seconds = 1800


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return FAIL
    return SKIP if "skipped" in kinds else OK


@functools.cache
def interpreter() -> str:
    """Return the first Python that has its own tests: COMPARE_PYTHON, or the system's, if possible."""
    named = os.environ.get("COMPARE_PYTHON")
    for candidate in (
        [named] if named else ["/usr/bin/python3", shutil.which("python3")]
    ):
        if candidate and Path(candidate).exists() and _has(candidate, "test_socket"):
            return candidate
    raise MissingError(
        "no Python here has its tests (Debian: apt install libpython3.11-testsuite)"
    )


def _has(python: str, module: str) -> bool:
    """Whether that interpreter has these tests; they are not loaded, which may take a server or a device."""
    find = (
        f"import importlib.util as u, sys; sys.exit(not u.find_spec('test.{module}'))"
    )
    probe = [python, "-I", "-c", find]
    return not subprocess.run(
        probe, capture_output=True, check=False, cwd="/"
    ).returncode


def units(quick: bool) -> list[Unit]:
    """Return one unit for each test module."""
    return [Module(name) for name in (QUICK if quick else FULL)]


def units_with_pools(quick: bool) -> list[Unit]:
    """Return one unit for each test module, of those that this interpreter has (Debian leaves test_capi out)."""
    names = QUICK_OBJECTS if quick else OBJECTS + FULL
    return [Pooled(name) for name in names if _has(interpreter(), name)]
