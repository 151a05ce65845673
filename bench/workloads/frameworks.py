"""What is built with frameworks: small objects of CPython's in great numbers, and work that comes after the answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench import ROOT
from bench.server import Launch, gunicorn
from bench.services import free_port
from bench.variants import LAYERS, PAIR, Variant
from bench.workloads.base import PYTHON, SHORT, Bench, Workload
from bench.workloads.rows import Gunicorn

VARIANTS = dict.fromkeys(PAIR, 3) | dict.fromkeys(
    ("arenas-1", "trim-threshold", "jemalloc-tuned", "0.1.0", "python-malloc"), 1
)


@dataclass(frozen=True)
class Lists(Workload):
    """Lists of objects: short ones, and in one of ten a long one."""

    path: str = ""
    short: int = 10
    long: int = 1_000

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        rng = random.Random(seed)
        sizes = [
            rng.randint(self.short, self.long) if not rng.randrange(10) else self.short
            for _ in range(count)
        ]
        return [f"{self.path}?count={size}" for size in sizes]


class RestFramework(Lists):
    """Django REST framework under gunicorn, with PostgreSQL."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return gunicorn's command."""
        port = free_port()
        app = "bench.apps.articles_rest:wsgi"
        more = ("--threads", "4", *variant.gunicorn)
        variables = {
            "BENCH_DATABASE": bench.services.database,
            "PYTHONPATH": bench.services.rest_framework,
        }
        return Launch(gunicorn(PYTHON, port, "gthread", app, *more), port, variables)


class FastApi(Lists):
    """FastAPI and pydantic under uvicorn."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return uvicorn's command."""
        port = free_port()
        command = [
            *(str(PYTHON.with_name("uvicorn")), "bench.apps.items_fastapi:app"),
            *("--port", str(port), "--app-dir", str(ROOT), "--no-access-log"),
            *("--timeout-keep-alive", "30"),
        ]
        return Launch(command, port, forks=False)


class States(Lists):
    """Small objects that come and go, under aiohttp."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the application's own command."""
        port = free_port()
        command = [str(PYTHON), "-m", "bench.apps.states_aiohttp", str(port)]
        return Launch(command, port, {"PYTHONPATH": str(ROOT)}, forks=False)


class Frames(Workload):
    """FastAPI, pandas and pyarrow under uvicorn."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return uvicorn's command."""
        port = free_port()
        command = [
            *(str(PYTHON.with_name("uvicorn")), "bench.apps.frames_fastapi:app"),
            *("--port", str(port), "--app-dir", str(ROOT), "--no-access-log"),
            *("--timeout-keep-alive", "30"),
        ]
        return Launch(command, port, {"PYTHONPATH": bench.services.frames}, forks=False)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for 100 to 2,000 rows, and in one of 20 a report of 20,000 to 100,000."""
        rng = random.Random(seed)
        result = []
        for _ in range(count):
            large = not rng.randrange(20)
            rows = rng.randint(20_000, 100_000) if large else rng.randint(100, 2_000)
            result.append(f"/report?count={rows}")
        return result


class Tokens(Workload):
    """Tokenizers under gunicorn."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return gunicorn's command."""
        port = free_port()
        command = gunicorn(
            PYTHON, port, "gthread", "bench.apps.tokens:wsgi", "--threads", "4"
        )
        return Launch(command, port, {"PYTHONPATH": bench.services.tokenizers})

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for batches of 1 to 50 texts, and in one of 20 of 500 to 1,500."""
        rng = random.Random(seed)
        result = []
        for _ in range(count):
            large = not rng.randrange(20)
            texts = rng.randint(500, 1_500) if large else rng.randint(1, 50)
            result.append(f"/tokens?count={texts}")
        return result


FRAMEWORKS = (
    RestFramework(
        "rest-framework",
        "Django REST framework, gunicorn gthread, 4 threads, 4 clients, PostgreSQL, lists of 10 to 1,000 objects",
        VARIANTS | dict.fromkeys(("max-requests", *LAYERS), 1),
        group="frameworks",
        in_quick=False,
        connections=4,
        path="/articles",
        timing=SHORT,
    ),
    FastApi(
        "fastapi",
        "FastAPI and pydantic, uvicorn, 4 clients, lists of 20 to 5,000 models",
        VARIANTS,
        group="frameworks",
        connections=4,
        in_quick=False,
        path="/items",
        short=20,
        long=5_000,
        timing=SHORT,
    ),
    States(
        "aiohttp",
        "aiohttp, 4 clients, 100 to 20,000 small objects made anew with each request",
        VARIANTS,
        group="frameworks",
        connections=4,
        in_quick=False,
        path="/update",
        short=100,
        long=20_000,
        timing=SHORT,
    ),
    Frames(
        "frames",
        "FastAPI, pandas and pyarrow, uvicorn, 4 clients, reports on 100 to 100,000 rows",
        VARIANTS,
        group="frameworks",
        connections=4,
        in_quick=False,
        timing=SHORT,
    ),
    Tokens(
        "tokenizers",
        "gunicorn gthread, 4 threads, 4 clients, batches of 1 to 1,500 texts for Hugging Face's tokenizers",
        VARIANTS,
        beside=False,
        group="frameworks",
        connections=4,
        in_quick=False,
        timing=SHORT,
    ),
    Gunicorn(
        "after-the-answer",
        "gunicorn gthread, 8 clients: each is answered at once, and a thread makes the rows afterwards",
        VARIANTS,
        group="frameworks",
        in_quick=False,
        worker="gthread",
        arguments=("--threads", "8"),
        app="bench.apps.after_answer:wsgi",
        timing=SHORT,
    ),
)
