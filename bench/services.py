"""What the servers need: a PostgreSQL cluster with rows, Pulp, compiled programs. Made when first asked for."""

from __future__ import annotations

import functools
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench import ROOT, variants
from bench.queues import Queue
from bench.variants import Variant
from demo import pulp
from live import floor

if TYPE_CHECKING:
    import psycopg

ROWS = 5_000
TEXT_SIZES = (1_000, 8_000)
START_SECONDS = 120
# Of about 4.6 KB, as JSON.
MARIADB_ARTICLES = 11_000
MARIADB_ROWS = f"""
CREATE DATABASE bench;
CREATE TABLE bench.article (id int PRIMARY KEY, author text, views int, body text);
INSERT INTO bench.article
    SELECT seq, CONCAT('author ', seq % 2000), seq % 100000, RPAD('', 1000 + seq * 7919 % 7000, MD5(seq))
    FROM bench.seq_1_to_{MARIADB_ARTICLES};
"""
# One for each worker of a benchmark.
REDIS_DATABASES = 4_096


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Services:
    """Entered once; what was started is stopped at the end, also by Ctrl-C."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        # PostgreSQL's user has to get through.
        scratch.chmod(0o755)
        self._stack = ExitStack()
        self._databases = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @functools.cached_property
    def probe(self) -> Path:
        """The object that trims when it is asked to."""
        return floor.compiled_probe(self.scratch)

    def preload(self, variant: Variant, library: Path) -> list[Path]:
        """Return what a server under a variant preloads; `library` is ours, of now."""
        found = [variants.shared_object(variant.allocator)] if variant.allocator else []
        if variant.library:
            found.append(self.library_of(variant.commit) if variant.commit else library)
        if variant.trims:
            found.append(self.memtrim)
        return [*found, self.probe]

    @functools.cached_property
    def memtrim(self) -> Path:
        """The object that trims in free()."""
        return self._compiled(
            ["cc", "-shared", "-fPIC", "-O2"],
            ROOT / "bench" / "memtrim.c",
            "memtrim.so",
        )

    def library_of(self, commit: str) -> Path:
        """Return our library as it was at a commit."""
        sources = self.scratch / commit
        library = sources / "target" / "release" / "libautotrim.so"
        if library.exists():
            return library
        sources.mkdir()
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True
        ).stdout
        subprocess.run(
            ["tar", "--extract", "--directory", str(sources)], input=archive, check=True
        )
        built = ["cargo", "build", "--quiet", "--release", "--locked"]
        subprocess.run(built, cwd=sources, check=True, env=_without_target_directory())
        return library

    @functools.cached_property
    def native_server(self) -> Path:
        """The server without an interpreter lock."""
        return self._compiled(
            ["g++", "-std=c++17", "-O2", "-pthread"],
            ROOT / "bench" / "apps" / "rows.cpp",
            "rows-server",
            "-lcpp-httplib",
        )

    @functools.cached_property
    def redis(self) -> int:
        """Port of a Redis in memory."""
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--databases", str(REDIS_DATABASES)]
        process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._stack.callback(_stop, process, signal.SIGTERM)
        _wait_for(process, port)
        return port

    def queue(self, worker: str) -> Queue:
        """Return a queue for a worker of this kind, in a database that was never used: workers in one talk to each other."""
        return Queue(self.redis, next(self._databases), worker)

    @functools.cached_property
    def java_classes(self) -> Path:
        """Where Java finds its servers."""
        output = self.scratch / "java"
        sources = map(str, (ROOT / "bench" / "apps").glob("*.java"))
        subprocess.run(["javac", "-d", str(output), *sources], check=True)
        return output

    @functools.cached_property
    def sharp(self) -> str:
        """Where Node finds sharp."""
        return _installed_by("npm", "sharp")

    @functools.cached_property
    def web(self) -> str:
        """Where Node finds Express, ws and Next.js."""
        return _installed_by("npm", "web")

    @functools.cached_property
    def next_site(self) -> Path:
        """A site of Next.js, built for production."""
        site = self.scratch / "next"
        shutil.copytree(ROOT / "bench" / "apps" / "next", site)
        (site / "node_modules").symlink_to(self.web)
        build = ["node", f"{self.web}/next/dist/bin/next", "build"]
        variables = os.environ | {"NEXT_TELEMETRY_DISABLED": "1"}
        done = subprocess.run(
            build, cwd=site, env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"next build failed: {done.stdout}{done.stderr}")
        return site

    @functools.cached_property
    def rest_framework(self) -> str:
        """Where Python finds Django REST framework."""
        return _installed_by("pip", "rest-framework")

    @functools.cached_property
    def frames(self) -> str:
        """Where Python finds pandas and pyarrow."""
        return _installed_by("pip", "frames")

    @functools.cached_property
    def tokenizers(self) -> str:
        """Where Python finds tokenizers."""
        return _installed_by("pip", "tokenizers")

    @functools.cached_property
    def mariadb(self) -> Path:
        """Data of MariaDB with the table `bench.article`."""
        data = self.scratch / "mariadb"
        install = ["mariadb-install-db", "--no-defaults", "--skip-test-db"]
        install += ["--user=root", "--auth-root-authentication-method=normal"]
        subprocess.run(
            [*install, f"--datadir={data}"], check=True, stdout=subprocess.DEVNULL
        )
        # With --bootstrap it takes statements from standard input, and ends.
        load = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}"]
        subprocess.run(
            [*load, "--bootstrap"],
            input=MARIADB_ROWS,
            check=True,
            text=True,
            stderr=subprocess.DEVNULL,
        )
        return data

    def _compiled(
        self, compiler: list[str], source: Path, name: str, *libraries: str
    ) -> Path:
        output = self.scratch / name
        command = [*compiler, "-o", str(output), str(source), *libraries]
        subprocess.run(command, check=True)
        return output

    @functools.cached_property
    def database(self) -> str:
        """Connection string of a database with the table `article`."""
        import psycopg  # not before the virtual environment is there

        directory = self.scratch / "postgresql"
        directory.mkdir()
        as_postgres: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres"]
            as_postgres.append("--clear-groups")
            shutil.chown(directory, "postgres")
        programs = _postgresql_programs()
        port, data = free_port(), str(directory / "data")
        initdb = [str(programs / "initdb"), "--pgdata", data, "--username", "bench"]
        subprocess.run(
            [*as_postgres, *initdb, "--auth", "trust", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        serve = [str(programs / "postgres"), "-D", data, "-p", str(port), "-F"]
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=")
        for setting in (*settings, "max_connections=300"):
            serve += ["-c", setting]
        with (self.scratch / "postgresql.log").open("wb") as log:
            process = subprocess.Popen(
                [*as_postgres, *serve],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        self._stack.callback(_stop, process, signal.SIGINT)
        conninfo = f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = psycopg.connect(conninfo)
                break
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        with connection:
            _fill(connection)
        return conninfo

    @functools.cached_property
    def pulp(self) -> tuple[Path, dict[str, str]]:
        """Directory of Pulp's programs, and the variables that they need; its database and Redis run."""
        return self._stack.enter_context(pulp.running(self.scratch / "pulp"))


def _without_target_directory() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "CARGO_TARGET_DIR"}


def _installed_by(script: str, *arguments: str) -> str:
    """Return the directory that a script of the project names when it is done."""
    command = [str(ROOT / "scripts" / script), *arguments]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.splitlines()[-1]


def _postgresql_programs() -> Path:
    def version(path: Path) -> list[int]:
        return [int(part) for part in path.parts[-2].split(".")]

    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version)
    if not found:
        sys.exit("scripts/bench: PostgreSQL is missing: scripts/packages installs it")
    return found[-1]


def _fill(connection: psycopg.Connection) -> None:
    """Make the rows: the seed makes them the same in every benchmark."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(2_000)]
    connection.execute(
        "CREATE TABLE article (id integer PRIMARY KEY, author text, views integer, body text)"
    )
    with connection.cursor().copy("COPY article FROM STDIN") as copy:
        for number in range(1, ROWS + 1):
            size = rng.randint(*TEXT_SIZES)
            # 3: the shortest word and a space.
            body = " ".join(rng.choices(words, k=size // 3))[:size]
            copy.write_row((number, rng.choice(words), rng.randrange(100_000), body))


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a server takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(10)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
