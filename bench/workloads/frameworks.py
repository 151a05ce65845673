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
        return _fastapi("items", {})


class States(Lists):
    """Small objects that come and go, under aiohttp."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the application's own command."""
        port = free_port()
        command = [str(PYTHON), "-m", "bench.apps.states_aiohttp", str(port)]
        return Launch(command, port, {"PYTHONPATH": str(ROOT)}, forks=False)


@dataclass(frozen=True)
class Batches(Workload):
    """Small batches of rows or texts, and in one of 20 requests a large one."""

    path: str = ""
    small: tuple[int, int] = (0, 0)
    large: tuple[int, int] = (0, 0)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        rng = random.Random(seed)
        sizes = (
            rng.randint(*(self.small if rng.randrange(20) else self.large))
            for _ in range(count)
        )
        return [f"{self.path}?count={size}" for size in sizes]


class Frames(Batches):
    """FastAPI, pandas and pyarrow under uvicorn."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return uvicorn's command."""
        return _fastapi("frames", {"PYTHONPATH": bench.services.frames})


class Tokens(Batches):
    """Tokenizers under gunicorn."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return gunicorn's command."""
        port = free_port()
        command = gunicorn(
            PYTHON, port, "gthread", "bench.apps.tokens:wsgi", "--threads", "4"
        )
        return Launch(command, port, {"PYTHONPATH": bench.services.tokenizers})


def _fastapi(name: str, variables: dict[str, str]) -> Launch:
    """Return how uvicorn serves one of the applications."""
    port = free_port()
    command = [
        *(str(PYTHON.with_name("uvicorn")), f"bench.apps.{name}_fastapi:app"),
        *("--port", str(port), "--app-dir", str(ROOT), "--no-access-log"),
        *("--timeout-keep-alive", "30"),
    ]
    return Launch(command, port, variables, forks=False)


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
        path="/report",
        small=(100, 2_000),
        large=(20_000, 100_000),
        group="frameworks",
        connections=4,
        in_quick=False,
        timing=SHORT,
    ),
    Tokens(
        "tokenizers",
        "gunicorn gthread, 4 threads, 4 clients, batches of 1 to 1,500 texts for Hugging Face's tokenizers",
        VARIANTS,
        path="/tokens",
        small=(1, 50),
        large=(500, 1_500),
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
