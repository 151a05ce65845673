"""What was measured, and on what."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from bench import huge_pages

PYTHON_PACKAGES = ("gunicorn", "uvicorn", "starlette", "psycopg", "numpy")
DEBIAN_PACKAGES = (
    *("puma", "ruby-pg", "libcpp-httplib-dev", "nlohmann-json3-dev", "postgresql"),
    *("redis-server", "libjemalloc2", "libmimalloc2.0", "libtcmalloc-minimal4"),
)
# What must be the same for runs to be compared.
IDENTITY = ("cpu", "cpus", "kernel", "library")


def describe(library: Path) -> dict[str, str]:
    """Return names and values for the report."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "cpu": _cpu(),
        "cpus": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "huge pages": _huge_pages(),
        "library": hashlib.sha256(library.read_bytes()).hexdigest()[:16],
        "date": time.strftime("%Y-%m-%d"),
        "Python": platform.python_version(),
        **{name: version(name) for name in PYTHON_PACKAGES},
        **{name: _debian(name) for name in DEBIAN_PACKAGES},
        **_pulp(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _huge_pages() -> str:
    try:
        return huge_pages.current()
    except OSError:
        return "none"


def _debian(package: str) -> str:
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return found.stdout or "unknown"


def _pulp() -> dict[str, str]:
    requirements = Path(__file__).parent.parent / "scripts" / "requirements-pulp.txt"
    lines = requirements.read_text().splitlines()
    pinned = (line.split("==") for line in lines if "==" in line)
    return {f"Pulp's {name}": number for name, number in pinned}
