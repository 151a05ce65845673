"""What a quiet Java server holds after its work, by collector: plain, with the library, with AUTOTRIM_GC=java, and with what the JDK offers."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bench import client
from bench.client import Phase
from bench.server import Launch, Server, environment
from bench.services import Services, free_port
from bench.variants import VARIANTS, register

# As on a machine of 2 GB: a heap of 32 to 512 MB.
MACHINE = "-XX:MaxRAM=2g"
# The collectors, and what has each give its heap back by itself.
COLLECTORS = {
    "G1": ["-XX:G1PeriodicGCInterval=1000"],
    "Serial": [],
    "Parallel": [],
    "ZGC": ["-XX:ZUncommitDelay=1"],
    "Shenandoah": [
        "-XX:+UnlockExperimentalVMOptions",
        "-XX:ShenandoahUncommitDelay=1000",
        "-XX:ShenandoahGuaranteedGCInterval=1000",
    ],
}
# The same for malloc's part, every second.
NATIVE = "-XX:TrimNativeHeapInterval=1000"
JDK = "the JDK's own"
SETTINGS = {
    "plain": "plain",
    "library": "defaults",
    "`AUTOTRIM_GC=java`": "AUTOTRIM_GC=java",
    JDK: "plain",
}
# The library takes a virtual machine to be complete after so long.
GROWN_UP_SECONDS = 11
QUIET_SECONDS = (3, 15)


def held(pid: int) -> float:
    """Return MiB of a process's memory that no file has: ZGC's heap is shared memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    sizes = [line.split()[1] for line in status if line.startswith(("RssAn", "RssSh"))]
    return sum(map(int, sizes)) / 1024


def work(port: int) -> None:
    """Have the server answer a burst of large answers, on eight connections."""
    phase = Phase(port, ["/rows?count=20000"] * 60, 8, 120, keep_alive=False)
    outcome = client.send(phase)
    if outcome.failed or outcome.answered < len(phase.targets):
        raise SystemExit(f"requests failed: {outcome.errors}")


def measured(
    command: list[str], setting: str, library: Path, services: Services
) -> list[float]:
    """Return MiB before the work, right after it, and so many seconds later each."""
    port = free_port()
    classes = ["-cp", str(services.java_classes), "Rows", str(port)]
    launch = Launch([*command, *classes], port, forks=False)
    variant = VARIANTS[register(setting) if "=" in setting else setting]
    log = services.scratch / f"server-{time.monotonic_ns()}.log"
    started = environment(variant, services.preload(variant, library), {})
    with Server(launch, started, log) as server:
        [pid] = server.pids()
        time.sleep(GROWN_UP_SECONDS)
        found = [held(pid)]
        work(port)
        found.append(held(pid))
        done = time.monotonic()
        for seconds in QUIET_SECONDS:
            time.sleep(max(0.0, done + seconds - time.monotonic()))
            found.append(held(pid))
        return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-java", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--java", default="java", help="another java than PATH's")
    parser.add_argument(
        "--collector",
        choices=COLLECTORS,
        action="append",
        help="only this, as often as wanted",
    )
    options = parser.parse_args()
    first, last = QUIET_SECONDS
    print(f"MiB {first} / {last} seconds after the work")
    print(f"\n| | at start | after the work | {' | '.join(SETTINGS)} |")
    print("|---" * (len(SETTINGS) + 3) + "|")
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        for name in options.collector or COLLECTORS:
            command = [options.java, MACHINE, f"-XX:+Use{name.removesuffix('GC')}GC"]
            own = [NATIVE, *COLLECTORS[name]]
            found = [
                measured(
                    [*command, *own] if what == JDK else command,
                    setting,
                    options.library,
                    services,
                )
                for what, setting in SETTINGS.items()
            ]
            start, full, *_ = found[0]
            quiet = [f"{soon:.0f} / {late:.0f}" for *_, soon, late in found]
            print(
                f"| {name} | {start:.0f} | {full:.0f} | {' | '.join(quiet)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
