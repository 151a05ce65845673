"""A report, as the applications of tests/stuck_memory_of_servers.rs make it: it takes 120 MB, and lets go of nearly all of it."""

import gc
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
    tell()


def leave():
    """Leave it all as garbage that Python does not collect by itself."""
    gc.set_threshold(1_000_000, 1_000, 1_000)
    blocks = [b"x" * BLOCK for _ in range(60_000)]
    blocks.append(blocks)
    del blocks
    tell()


def tell():
    """Say that it is done, and by whom."""
    # The test counts the lines, and learns which process makes reports.
    with open("reports", "a", encoding="ascii") as reports:
        reports.write(f"{os.getpid()}\n")
