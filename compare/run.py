"""Runs a unit once: in a directory and an environment of its own, bounded in time, with nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from compare.unit import FAIL, OK, WHOLE, Run, Tally, Unit, Variant

# Trims at nearly every wait, whatever there is to gain.
AGGRESSIVE = {
    "AUTOTRIM_INTERVAL": "1",
    "AUTOTRIM_IDLE": "10ms",
    "AUTOTRIM_GROWTH": "64K",
    "AUTOTRIM_OVERHEAD": "0",
}
LOG = {Variant.PRELOADED: "off", Variant.DEBUG: "debug", Variant.OFTEN: "off"}
PREFIX = "autotrim: "
# How the library counts its releases of pools, or collections: three counters at the beginning of a page.
TALLY, TALLY_LENGTH = struct.Struct("=3Q"), 4096
# What runs now: the id of each session's first process, and its directory.
_SESSIONS: dict[int, Path] = {}


def run(
    unit: Unit,
    variant: Variant,
    libraries: dict[Variant, Path],
    logs: Path,
    tests: list[str],
) -> Run:
    """Run the unit, or only these tests of it, and keep what it wrote in `logs`."""
    # Directly in /tmp: the path of a Unix socket has no more than 107 bytes.
    scratch = Path(tempfile.mkdtemp(prefix="at-", dir="/tmp"))
    try:
        return _run(unit, variant, libraries, logs, tests, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(
    unit: Unit,
    variant: Variant,
    libraries: dict[Variant, Path],
    logs: Path,
    tests: list[str],
    scratch: Path,
) -> Run:
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        **unit.environment(),
    }
    again = "-again" if tests else ""
    output = logs / f"{unit.suite}-{unit.name.replace('/', '-')}-{variant}{again}.log"
    # Beside the log and not in `scratch`, of which tests may look at what is in there.
    tally = output.with_suffix(".tally")
    if variant != Variant.PLAIN:
        environment |= {
            "LD_PRELOAD": str(libraries[variant]),
            "AUTOTRIM_LOG": LOG[variant],
            **AGGRESSIVE,
        }
    if variant == Variant.OFTEN:
        tally.write_bytes(bytes(TALLY_LENGTH))
        environment |= {"AUTOTRIM_POOLS": "auto", "TALLY_OF_RELEASES": str(tally)}
    started = time.monotonic()
    begin = output.stat().st_size if tests and output.exists() else 0
    with output.open("ab" if tests else "wb") as file:
        process = subprocess.Popen(
            unit.command(scratch, tests),
            cwd=unit.directory(scratch),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # A session of its own, which is ended with it.
            start_new_session=True,
        )
        _SESSIONS[process.pid] = scratch
        try:
            end = _describe(process.wait(unit.seconds))
        except subprocess.TimeoutExpired:
            end = f"no end within {unit.seconds} s"
        finally:
            _SESSIONS.pop(process.pid, None)
            _kill(process.pid)
            process.wait()
    seconds = time.monotonic() - started
    with output.open("rb") as file:
        file.seek(begin)
        text = file.read().decode(errors="replace")
    outcomes = _unique(unit.outcomes(scratch, text))
    # A program whose tests fail may say so by its exit code.
    ended = not end or (end.startswith("exit") and FAIL in outcomes.values())
    outcomes[WHOLE] = OK if ended else f"{FAIL}: {end}"
    written = [
        text,
        *(log.read_text(errors="replace") for log in unit.logs(scratch)),
    ]
    return Run(
        outcomes,
        seconds,
        trims=sum(part.count(" event=trim ") for part in written),
        lines=sum(part.count(PREFIX) for part in written),
        tally=_counted(tally) if variant == Variant.OFTEN else Tally(),
    )


def _counted(tally: Path) -> Tally:
    """Read what was counted."""
    return Tally(*TALLY.unpack_from(tally.read_bytes()))


def _describe(code: int) -> str:
    if code < 0:
        return f"signal {-code}"
    return f"exit {code}" if code else ""


def _unique(outcomes: list[tuple[str, str]]) -> dict[str, str]:
    """Tell tests of the same name apart by their number."""
    result: dict[str, str] = {}
    for name, outcome in outcomes:
        unique, number = name, 1
        while unique in result:
            number += 1
            unique = f"{name} #{number}"
        result[unique] = outcome
    return result


def end_all() -> None:
    """End what runs now, and remove what it has left."""
    for session, scratch in list(_SESSIONS.items()):
        _kill(session)
        shutil.rmtree(scratch, ignore_errors=True)


def _kill(session: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
