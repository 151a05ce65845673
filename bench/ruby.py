"""What a quiet Ruby holds after its work: plain, with trims alone, with its garbage collected, and by hand; and what its workers share."""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, client, quiet
from bench.client import Phase
from bench.server import Launch, Server, environment
from bench.services import Services, free_port
from bench.variants import VARIANTS, register

APPS = ROOT / "bench" / "apps"
SETTINGS = {
    "plain": "plain",
    "trims alone": "AUTOTRIM_GC=off",
    "and garbage": "defaults",
}
QUIET_SECONDS = (2, 10)
WORKERS = 2
TASKS = 20
GROWN_UP_SECONDS = 6
TASK_SECONDS = 120
PUMA = ("puma", "--no-config", "--silent", "--environment", "production")
CLUSTER = (*PUMA, "--threads", "4:4", "--workers", str(WORKERS), "--preload")


@dataclass(frozen=True)
class Application:
    """A server or a worker, and its work."""

    launch: Callable[[Services], Launch]
    work: Callable[[Launch], None]


def rows(*command: str, forks: bool) -> Callable[[Services], Launch]:
    """Return how a server of rows.ru is started."""

    def launch(services: Services) -> Launch:
        port = free_port()
        words = [word.replace("PORT", str(port)) for word in command]
        variables = {"BENCH_DATABASE": services.database}
        return Launch(words, port, variables, forks=forks)

    return launch


def preloaded(_: Services) -> Launch:
    """Return a Puma whose workers share a large application with their master."""
    port = free_port()
    command = [*CLUSTER, "--bind", f"tcp://127.0.0.1:{port}"]
    return Launch([*command, str(APPS / "preloaded.ru")], port)


def sidekiq(services: Services) -> Launch:
    """Return Sidekiq; it has no port, and Redis' is there."""
    command = ["sidekiq", "--require", str(APPS / "parse_sidekiq.rb")]
    port = services.redis
    url = f"redis://127.0.0.1:{port}/0"
    command += ["--concurrency", "4", "--environment", "production"]
    return Launch(command, port, {"REDIS_URL": url}, forks=False, ready="")


def ask(targets: list[str], connections: int = 4) -> Callable[[Launch], None]:
    """Return the work of a server: to answer these."""

    def work(launch: Launch) -> None:
        phase = Phase(launch.port, targets, connections, 120, keep_alive=False)
        outcome = client.send(phase)
        if outcome.failed or outcome.answered < len(targets):
            raise SystemExit(f"requests failed: {outcome.errors}")

    return work


def parse(launch: Launch) -> None:
    """Send tasks when the worker is old enough to be looked at, and wait until they are done."""
    import redis  # not before the virtual environment is there

    with redis.Redis(port=launch.port) as connection:
        connection.flushall()
        time.sleep(GROWN_UP_SECONDS)
        for number in range(TASKS):
            task = (
                '{"class":"Parse","args":[50000],"queue":"default","retry":false,'
                f'"jid":"task{number}"}}'
            )
            connection.lpush("queue:default", task)
            deadline = time.monotonic() + TASK_SECONDS
            while int(connection.get("done") or 0) <= number:
                if time.monotonic() > deadline:
                    raise SystemExit("Sidekiq does not work")
                time.sleep(0.02)


LISTS = ["/rows?first=1&count=2000"] * 40
CONFIGURATION = str(APPS / "unicorn.rb")
APPLICATIONS = {
    "Puma, 8 threads": Application(
        rows(
            *(*PUMA, "--threads", "8:8", "--bind", "tcp://127.0.0.1:PORT"),
            str(APPS / "rows.ru"),
            forks=False,
        ),
        ask(LISTS),
    ),
    f"Puma, {WORKERS} workers that are preloaded": Application(
        rows(
            *(*CLUSTER, "--bind", "tcp://127.0.0.1:PORT", str(APPS / "rows.ru")),
            forks=True,
        ),
        ask(LISTS),
    ),
    f"Unicorn, {WORKERS} workers that are preloaded": Application(
        rows(
            *("unicorn", "--listen", "127.0.0.1:PORT", "--env", "production"),
            *("--no-default-middleware", "--config-file", CONFIGURATION),
            str(APPS / "rows.ru"),
            forks=True,
        ),
        ask(LISTS),
    ),
    "Async::HTTP, fibers": Application(
        rows("ruby", str(APPS / "rows_async.rb"), "PORT", forks=False), ask(LISTS)
    ),
    "Sidekiq, JSON": Application(sidekiq, parse),
}
# What workers share, after work that leaves little, and much.
SHARING = {
    "few requests": ask(["/?count=10"] * 20, connections=1),
    "bursts": ask(["/?count=20000"] * 40),
}


def proportional(server: Server) -> float:
    """Return MiB of a master and its workers, each page divided by how many have it (PSS)."""
    total = 0
    for pid in (server.root, *server.pids()):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
    return total / 1024


class Bench:
    """What is the same for all measurements."""

    def __init__(self, services: Services, library: Path) -> None:
        self._services = services
        self._library = library

    def _server(self, launch: Launch, setting: str) -> Server:
        services = self._services
        variant = VARIANTS[register(setting) if "=" in setting else setting]
        log = services.scratch / f"server-{time.monotonic_ns()}.log"
        preload = services.preload(variant, self._library)
        return Server(launch, environment(variant, preload, launch.environment), log)

    def held(
        self, application: Application, setting: str
    ) -> tuple[list[float], float | None]:
        """Return anonymous MiB in quiet, after so many seconds each, and what is left by hand where nothing else has been done."""
        launch = application.launch(self._services)
        with self._server(launch, setting) as server:
            application.work(launch)
            found = quiet.held(server, QUIET_SECONDS)
            return found, quiet.by_hand(server) if setting == "plain" else None

    def shared(self, work: Callable[[Launch], None], setting: str) -> float:
        """Return the PSS of a preloaded Puma in quiet."""
        launch = preloaded(self._services)
        with self._server(launch, setting) as server:
            deadline = time.monotonic() + 30
            while len(server.pids()) < WORKERS and time.monotonic() < deadline:
                time.sleep(0.05)
            work(launch)
            time.sleep(QUIET_SECONDS[-1])
            return proportional(server)


def print_held(bench: Bench, names: list[str]) -> None:
    """Print what each application holds."""
    quiet.print_head(SETTINGS, QUIET_SECONDS)
    for name in names:
        found = {
            title: bench.held(APPLICATIONS[name], setting)
            for title, setting in SETTINGS.items()
        }
        [hand] = [left for _, left in found.values() if left is not None]
        cells = [
            f"{soon:.1f} / {late:.1f} ({soon / hand:.2f})"
            for (soon, late), _ in found.values()
        ]
        print(f"| {name} | {' | '.join(cells)} | {hand:.1f} |", flush=True)


def print_shared(bench: Bench) -> None:
    """Print the PSS of workers that are preloaded."""
    print(
        f"\nPSS, MiB, of a preloaded Puma with {WORKERS} workers and their master, "
        f"{QUIET_SECONDS[-1]} seconds after the work, × plain\n"
    )
    print(f"| {' | '.join(['', *SETTINGS])} |")
    print("|---" * (1 + len(SETTINGS)) + "|")
    for name, work in SHARING.items():
        found = [bench.shared(work, setting) for setting in SETTINGS.values()]
        cells = [f"{held:.1f} ({held / found[0]:.3f})" for held in found]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-ruby", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--application",
        choices=[*APPLICATIONS, "shared"],
        action="append",
        metavar="NAME",
        help=f"only this: {'; '.join(APPLICATIONS)}; shared, which is the second table",
    )
    options = parser.parse_args()
    wanted = options.application or [*APPLICATIONS, "shared"]
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        bench = Bench(services, options.library)
        if names := [name for name in wanted if name != "shared"]:
            print_held(bench, names)
        if "shared" in wanted:
            print_shared(bench)


if __name__ == "__main__":
    main()
