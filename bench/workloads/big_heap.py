"""A worker with a large fragmented heap: how long a trim stalls it, and what rule of growth suits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import huge_pages
from bench.server import Server
from bench.variants import PAIR
from bench.workloads.base import Bench, Skipped, Timing
from bench.workloads.rows import Gunicorn

FIGURES = dict.fromkeys(PAIR, 3) | dict.fromkeys(("interval", "growth-absolute"), 2)
SIZES = dict.fromkeys(PAIR, 3)
QUICK_MEGABYTES = 256


@dataclass(frozen=True)
class BigHeap(Gunicorn):
    """The rows' application beside a heap of so many MB, one third of it holes."""

    megabytes: int = 0
    # The machine's setting of transparent huge pages for these runs.
    huge_pages: str = "madvise"

    def environment(self, bench: Bench) -> dict[str, str]:
        """Return the variables that the application needs."""
        size = min(self.megabytes, QUICK_MEGABYTES) if bench.quick else self.megabytes
        return super().environment(bench) | {"BENCH_HEAP_MB": str(size)}

    def seconds(self, variant: str, quick: bool) -> float:
        """Estimate how long a run takes: the heap has to be made first."""
        heap = QUICK_MEGABYTES if quick else self.megabytes
        collapse = 3.0 if self.huge_pages == "always" else 0.0
        return super().seconds(variant, quick) + heap / 1_000 + collapse

    @contextmanager
    def setting(self, bench: Bench) -> Iterator[None]:
        """Set transparent huge pages, and set them back."""
        try:
            before = huge_pages.current()
        except OSError as error:
            raise Skipped(f"no transparent huge pages: {error}") from error
        if before == self.huge_pages:
            yield
        elif os.geteuid():
            raise Skipped(
                f"only root can set huge pages from {before} to {self.huge_pages}"
            )
        else:
            with huge_pages.setting({"enabled": self.huge_pages}):
                yield

    def settle(self, server: Server) -> None:
        """Bring the heap to where it would be after hours."""
        if self.huge_pages == "always":
            huge_pages.collapse(server.pids())


def _heap(name: str, megabytes: int, variants: dict[str, int], pages: str) -> BigHeap:
    return BigHeap(
        f"big-heap-{name}",
        f"gunicorn sync beside a fragmented heap of {megabytes:,} MB, huge pages: {pages}",
        variants,
        group="big-heap",
        connections=1,
        keep_alive=False,
        timing=Timing(closed=5.0, open=0.0),
        in_quick=name in ("2g", "2g-huge-pages"),
        quick_variants=PAIR,
        megabytes=megabytes,
        huge_pages=pages,
    )


BIG_HEAPS = (
    # Here the share is smaller than 16 MB: both rules of growth are one.
    _heap("100m", 100, dict.fromkeys(PAIR, 3), "madvise"),
    _heap("1g", 1_000, SIZES, "madvise"),
    _heap("2g", 2_000, FIGURES, "madvise"),
    _heap("2g-huge-pages", 2_000, FIGURES, "always"),
    _heap("4g", 4_000, SIZES, "madvise"),
)
