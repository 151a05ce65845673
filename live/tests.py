"""What is live is found. Run by tests/benchmarks.rs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from live import floor

# 60 MB in blocks of malloc's, of which every third stays: no trim gives the holes between them back.
HOLES = """
import time
blocks = [bytes(1000) for _ in range(60_000)]
blocks = blocks[::3]
print("ready", flush=True)
time.sleep(600)
"""


# Four threads free 40 MB each, and malloc keeps that at the tops of their arenas: two of them end, two wait.
TOPS = """
import threading, time
together = threading.Barrier(4)
done = threading.Barrier(5)
def work(ends):
    together.wait()
    blocks = [bytes(1000) for _ in range(40_000)]
    together.wait()
    del blocks
    done.wait()
    if not ends:
        time.sleep(600)
for ends in (False, False, True, True):
    threading.Thread(target=work, args=(ends,)).start()
done.wait()
time.sleep(0.5)
print("ready", flush=True)
time.sleep(600)
"""


class Floor(unittest.TestCase):
    """Found in a CPython."""

    def found(
        self, program: str, **variables: str
    ) -> tuple[float, float, floor.Live | None]:
        """Return RSS of a program, and when it is trimmed; and what is live in it."""
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            preload = {"LD_PRELOAD": str(floor.compiled_probe(Path(directory)))}
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-c", program],
                    env=os.environ | floor.environment() | preload | variables,
                    stdout=output,
                    stderr=output,
                )
            try:
                deadline = time.monotonic() + 60
                while "ready" not in log.read_text():
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                before = floor._rss(process.pid)
                floor.trim([process.pid])
                trimmed = floor._rss(process.pid)
                return before, trimmed, floor.live([process.pid], log)
            finally:
                process.kill()
                process.wait()

    def test_holes_smaller_than_a_page_are_live_and_not_in_use(self) -> None:
        _, trimmed, found = self.found(HOLES)
        assert found
        self.assertTrue(found.collected)
        self.assertGreater(trimmed, 60_000_000 / (1 << 20))
        # No trim reaches them.
        self.assertGreater(found.mib, 60_000_000 / (1 << 20))
        self.assertGreater(found.in_use, 20_000_000 / (1 << 20))
        self.assertLess(found.in_use, 40_000_000 / (1 << 20))

    def test_the_top_of_no_arena_is_live(self) -> None:
        before, _, found = self.found(TOPS, MALLOC_TRIM_THRESHOLD_="1000000000")
        assert found
        self.assertGreater(before, 160_000_000 / (1 << 20))
        self.assertLess(found.mib, 40_000_000 / (1 << 20))

    def test_a_process_without_the_probe_is_left_alone(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            log.touch()
            process = subprocess.Popen(["sleep", "600"])
            try:
                self.assertIsNone(floor.live([process.pid], log))
                self.assertIsNone(process.poll())
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def test_the_main_arena_is_a_part_of_what_is_resident(self) -> None:
        own = os.getpid()
        block = bytearray(b"x") * (1 << 16)
        self.assertGreater(floor.arenas([own]), len(block) / (1 << 20))
        self.assertLess(floor.arenas([own]), floor._rss(own))
