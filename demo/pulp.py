"""A Pulp with data, while it is entered: scripts/pulp makes it, with PostgreSQL and Redis. The benchmarks use it, too."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.options import ROOT

STOP_SECONDS = 10
USERS = 1_000
# A password of the administrator, and a hash that costs nothing: else authentication is all there is to measure.
PASSWORD = "password"
CREDENTIALS = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
SETTINGS = '\nPASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]\n'
DATA = f"""
from django.contrib.auth import get_user_model
User = get_user_model()
User.objects.bulk_create(
    User(username=f"user{{i}}", first_name="First" * 8, last_name="Last" * 8, email=f"user{{i}}@example.org")
    for i in range({USERS}))
"""


@contextmanager
def running(directory: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give the directory of Pulp's programs, and the variables that they need; its database and Redis run meanwhile."""
    try:
        yield _made(directory)
    finally:  # also of a script that was interrupted when it had started the two
        _stop(directory / "pids")


def _made(directory: Path) -> tuple[Path, dict[str, str]]:
    made = subprocess.run(
        [str(ROOT / "scripts" / "pulp"), str(directory)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    programs = Path(made.stdout.splitlines()[-1]) / "bin"
    lines = (directory / "environment").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    with (directory / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    manager = str(programs / "pulpcore-manager")
    for arguments in (
        ["reset-admin-password", "--password", PASSWORD],
        ["shell", "--command", DATA],
    ):
        subprocess.run(
            [manager, *arguments],
            check=True,
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return programs, variables


def _stop(file: Path) -> None:
    """Stop PostgreSQL and Redis, whose process ids are in a file."""
    pids = [int(pid) for pid in file.read_text().split()] if file.exists() else []
    for pid, number in zip(pids, (signal.SIGINT, signal.SIGTERM), strict=False):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and any(map(_runs, pids)):
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
