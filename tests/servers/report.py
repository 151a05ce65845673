"""A report, as the applications of tests/stuck_memory_of_servers.rs make it: it takes 120 MB, and lets go of nearly all of it."""

import os
import time

BLOCK = 2000
PINS = []


def make(seconds=0.0):
    """Hold the memory for a while. A few of its blocks stay, so that free() alone gives nothing back."""
    blocks = [b"x" * BLOCK for _ in range(60_000)]
    time.sleep(seconds)
    PINS.append(blocks[::2000])
    del blocks
    # The test counts the lines, and learns which process makes reports.
    with open("reports", "a", encoding="ascii") as reports:
        reports.write(f"{os.getpid()}\n")
