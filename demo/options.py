"""The command line. Standard library only: scripts/demo runs this before it builds anything."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = ("sync", "gthread", "gevent", "uvicorn")


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

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
        description="Run gunicorn under the same load twice, plain and with libautotrim preloaded, and compare "
        "RSS, CPU and latency.",
        epilog="AUTOTRIM_* variables reach the library: AUTOTRIM_INTERVAL=100 scripts/demo. "
        "Exit code 1: a request failed, an answer differed, or the library did not come up.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--worker",
        choices=WORKERS,
        default="gthread",
        help="gunicorn worker (default: %(default)s)",
    )
    parser.add_argument(
        "--requests",
        type=positive,
        default=10_000,
        metavar="N",
        help="requests per run (default: %(default)s)",
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
    options = Options(**vars(parser.parse_args(arguments)))
    if sys.platform != "linux":
        parser.exit(
            1,
            f"scripts/demo: needs Linux (LD_PRELOAD, /proc), this is {sys.platform}\n",
        )
    return options


if __name__ == "__main__":
    parse()
