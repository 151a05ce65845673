"""The command line. Standard library only: scripts/demo runs this before it builds anything."""

from __future__ import annotations

import argparse
import glob
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = ("sync", "gthread", "gevent", "uvicorn")
# Servers, and how many requests each gets: Pulp's cost fifty times as much CPU time.
SERVERS = {
    "gunicorn": 10_000,
    "uvicorn": 10_000,
    "puma": 10_000,
    "node": 10_000,
    "pulp": 500,
}
# What the demo does not install: a name, where else than in PATH it may be, and its Debian package.
NEEDED = {
    "puma": [("puma", "", "puma")],
    "node": [("node", "", "nodejs")],
    "pulp": [
        ("redis-server", "", "redis-server"),
        ("PostgreSQL", "/usr/lib/postgresql/*/bin/initdb", "postgresql"),
    ],
}


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    server: str
    worker: str
    requests: int
    output: Path
    library: Path


def positive(text: str) -> int:
    """Parse a number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "positive number"  # argparse puts it into its error message


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; help and errors end the process, as usual with argparse."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Run a server under the same load twice, plain and with libautotrim preloaded, and compare "
        "RSS, CPU and latency; and RSS with what is live: what is in use, found by hand at the end of the plain run.",
        epilog="AUTOTRIM_* variables reach the library: AUTOTRIM_INTERVAL=100 scripts/demo. "
        "Exit code 1: a request failed, an answer differed, the library did not come up, or the plain run does not tell what is live.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--server",
        choices=SERVERS,
        default="gunicorn",
        help="server (default: %(default)s); Debian has puma and nodejs; pulp is pulpcore-api, and needs PostgreSQL "
        "and Redis, and some minutes",
    )
    parser.add_argument(
        "--worker",
        choices=WORKERS,
        help="gunicorn's worker (default: gthread)",
    )
    parser.add_argument(
        "--requests",
        type=positive,
        metavar="N",
        help="requests per run (default: 10000, of pulp 500)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "target" / "demo",
        metavar="DIR",
        help="where rss.png and the server logs go (default: target/demo)",
    )
    parser.add_argument(
        "--library",
        type=Path,
        default=ROOT / "target" / "release" / "libautotrim.so",
        metavar="FILE",
        help="library to preload (default: the one that scripts/demo builds)",
    )
    given = parser.parse_args(arguments)
    if given.worker and given.server != "gunicorn":
        parser.error(f"argument --worker: {given.server} has none, gunicorn has")
    given.worker = given.worker or "gthread"
    given.requests = given.requests or SERVERS[given.server]
    options = Options(**vars(given))
    if sys.platform != "linux":
        parser.exit(
            1,
            f"scripts/demo: needs Linux (LD_PRELOAD, /proc), this is {sys.platform}\n",
        )
    if lacking := missing(options.server):
        names = " and ".join(name for name, _ in lacking)
        verb = "is" if len(lacking) == 1 else "are"
        packages = " ".join(package for _, package in lacking)
        parser.exit(
            1,
            f"scripts/demo: {names} {verb} missing (Debian: apt install {packages})\n",
        )
    return options


def missing(server: str) -> list[tuple[str, str]]:
    """Return what a server needs and this machine has not, each with its Debian package."""
    return [
        (name, package)
        for name, place, package in NEEDED.get(server, [])
        if not (shutil.which(name) or glob.glob(place))
    ]


if __name__ == "__main__":
    parse()
