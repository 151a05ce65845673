"""What a server holds in quiet, and by hand: for the tables of bench/cpython.py and bench/node.py."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench import sampler
from bench.server import Server


def held(server: Server, moments: Iterable[int]) -> list[float]:
    """Return anonymous MiB so many seconds after now, each."""
    done = time.monotonic()
    found = []
    for seconds in moments:
        time.sleep(max(0.0, done + seconds - time.monotonic()))
        found.append(sampler.memory(server.pids()).anonymous)
    return found


def by_hand(server: Server) -> float:
    """Return anonymous MiB when a process has collected and trimmed, less what its pools hold free."""
    unused = server.tidy_up()
    if unused is None:
        raise server.error("it does not tidy up")
    server.trim_at_rest()
    return sampler.memory(server.pids()).anonymous - unused


def print_head(settings: Iterable[str], moments: tuple[int, int]) -> None:
    """Begin the table."""
    titles = ["", *settings, "by hand"]
    first, last = moments
    print(f"Anonymous MiB {first} / {last} seconds after the work, × what is left")
    print(f"\n| {' | '.join(titles)} |")
    print("|---" * len(titles) + "|")
