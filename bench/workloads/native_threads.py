"""Threads that allocate in parallel, with no interpreter lock between them: each has an arena of malloc's."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import ROOT
from bench.client import Phase
from bench.server import Launch, node
from bench.services import MARIADB_ARTICLES, free_port
from bench.variants import BUDGETS, GLIBC_SETTINGS, OTHERS, PAIR, Variant
from bench.workloads.base import PYTHON, SHORT, Bench, Skipped, Timing, Workload
from bench.workloads.rows import Rows

VARIANTS = dict.fromkeys(PAIR, 3) | dict.fromkeys(
    (*GLIBC_SETTINGS, "trim-on-free", "jemalloc", "jemalloc-tuned", *BUDGETS), 1
)


@dataclass(frozen=True)
class Program(Workload):
    """A server of which a machine may have no program."""

    program: str = ""
    package: str = ""

    @contextmanager
    def setting(self, bench: Bench) -> Iterator[None]:
        """Refuse where it is missing."""
        if not shutil.which(self.program):
            raise Skipped(
                f"{self.program} is missing (Debian: apt install {self.package})"
            )
        yield


class NativeThreads(Workload):
    """cpp-httplib with 8 threads."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return the server's command."""
        port = free_port()
        command = [str(bench.services.native_server), str(port)]
        return Launch(command, port, forks=False)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for 5 to 50 rows, and in one of 30 a burst of 100 to 1,000."""
        rng = random.Random(seed)
        result = []
        for _ in range(count):
            burst = not rng.randrange(30)
            rows = rng.randint(100, 1_000) if burst else rng.randint(5, 50)
            result.append(
                f"/rows?first={rng.randint(1, 5_000 - rows + 1)}&count={rows}"
            )
        return result


class Compressed(Program):
    """Java's own HTTP server, which compresses."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return Java's command: a small heap of its own, which one thread collects."""
        port = free_port()
        java = ["java", "-Xms128m", "-Xmx128m", "-XX:+UseSerialGC"]
        command = [*java, "-cp", str(bench.services.java_classes), "Compressed"]
        return Launch([*command, str(port)], port, forks=False)

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for 5 to 50 rows."""
        rng = random.Random(seed)
        return [
            f"/rows?first={rng.randint(1, 4_900)}&count={rng.randint(5, 50)}"
            for _ in range(count)
        ]


class Pictures(Program):
    """Node, and libvips in its thread pool."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return Node's command."""
        port = free_port()
        command = ["node", str(ROOT / "bench" / "apps" / "pictures.js"), str(port)]
        return node(command, port, {"NODE_PATH": bench.services.sharp})

    def targets(self, count: int, seed: int) -> list[str]:
        """Return requests for small and large pictures."""
        rng = random.Random(seed)
        return [f"/picture?width={rng.randint(200, 2_000)}" for _ in range(count)]


class Granian(Rows):
    """A server in Rust, one process."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return granian's command."""
        port = free_port()
        command = [
            *(str(PYTHON.with_name("granian")), "--interface", "asgi"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
            "bench.apps.rows_starlette:app",
        ]
        environment = self.environment(bench) | {"PYTHONPATH": str(ROOT)}
        return Launch(command, port, environment)


class Database(Program):
    """MariaDB: a thread for each connection, which comes, asks once, and goes."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return MariaDB's command."""
        port = free_port()
        command = [
            *("mariadbd", "--no-defaults", "--user=root", "--skip-grant-tables"),
            *(f"--datadir={bench.services.mariadb}", "--bind-address=127.0.0.1"),
            *(f"--port={port}", f"--socket={bench.services.scratch}/mariadb.socket"),
            *("--skip-name-resolve", "--innodb-buffer-pool-size=128M"),
            *("--group-concat-max-len=67108864", "--max-allowed-packet=67108864"),
        ]
        return Launch(command, port, forks=False, ready="")

    def targets(self, count: int, seed: int) -> list[str]:
        """Return queries for 1 to 50 MB of JSON, small ones as often as large ones."""
        rng = random.Random(seed)
        row = "JSON_OBJECT('id', id, 'author', author, 'views', views, 'body', body)"
        result = []
        for _ in range(count):
            rows = round(MARIADB_ARTICLES / 50 ** rng.random())
            first = rng.randint(1, MARIADB_ARTICLES - rows + 1)
            where = f"id BETWEEN {first} AND {first + rows - 1}"
            result.append(f"SELECT JSON_ARRAYAGG({row}) FROM article WHERE {where}")
        return result

    def phase(self, launch: Launch, count: int, seed: int, seconds: float) -> Phase:
        """Return a phase whose requests MariaDB's own client sends."""
        client = [
            *("mariadb", "--no-defaults", "--host=127.0.0.1", f"--port={launch.port}"),
            *("--user=root", "--database=bench", "--max-allowed-packet=67108864"),
            *("--silent", "--quick", "--raw", "--execute"),
        ]
        phase = super().phase(launch, count, seed, seconds)
        return dataclasses.replace(phase, command=client)


NATIVE_THREADS = (
    NativeThreads(
        "native-threads",
        "C++ (cpp-httplib, nlohmann's JSON), 8 threads, 8 clients, rows as JSON",
        dict.fromkeys(PAIR, 3) | dict.fromkeys((*OTHERS, *BUDGETS), 1),
        beside=False,
        group="native",
    ),
    Compressed(
        "native-java",
        "Java's HTTP server, 16 threads, 16 clients, rows as JSON, compressed",
        VARIANTS | {"java-trim": 1},
        timing=SHORT,
        beside=False,
        group="native",
        connections=16,
        in_quick=False,
        program="javac",
        package="openjdk-17-jdk-headless",
    ),
    Pictures(
        "native-node",
        "Node and sharp, 4 clients, pictures made of one of 4 megapixels",
        VARIANTS,
        timing=SHORT,
        beside=False,
        group="native",
        connections=4,
        in_quick=False,
        program="node",
        package="nodejs",
    ),
    Granian(
        "native-rust",
        "granian, Starlette's thread pool, 8 clients, PostgreSQL rows as JSON",
        VARIANTS,
        timing=SHORT,
        group="native",
        in_quick=False,
    ),
    Database(
        "native-mariadb",
        "MariaDB, 50 clients that come, ask for 1 to 50 MB of JSON, and go",
        VARIANTS,
        group="native",
        connections=50,
        timing=Timing(closed=8.0, open=0.0),
        in_quick=False,
        program="mariadbd",
        package="mariadb-server-core",
    ),
)
