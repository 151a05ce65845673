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


class Floor(unittest.TestCase):
    """Found in a CPython whose heap is full of holes."""

    def test_neither_garbage_nor_holes_are_live(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            preload = {"LD_PRELOAD": str(floor.compiled_probe(Path(directory)))}
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-c", HOLES],
                    env=os.environ | floor.environment() | preload,
                    stdout=output,
                    stderr=output,
                )
            try:
                deadline = time.monotonic() + 60
                while "ready" not in log.read_text():
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.05)
                floor.trim([process.pid])
                trimmed = floor._rss(process.pid)
                found = floor.live([process.pid], log)
            finally:
                process.kill()
                process.wait()
        assert found
        self.assertTrue(found.collected)
        self.assertGreater(trimmed, 60_000_000 / (1 << 20))
        self.assertGreater(found.mib, 20_000_000 / (1 << 20))
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
