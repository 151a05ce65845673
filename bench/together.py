"""Variants of one server under the same load at the same time, round after round: what differs is theirs, not the machine's.

On a virtual machine the CPU time of the same work changes by a tenth from one minute to the next, and a run after the other shows that as if
it were the variant's. Here all serve at once, each in an open loop of its own at the workload's rate, so they must not be too much for the machine
together. Each round begins with another one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import client, sampler, trims, variants, workloads
from bench.client import Outcome
from bench.sampler import Sampler
from bench.services import Services
from bench.variants import VARIANTS
from bench.workloads.base import Bench, Run, Workload, latencies

# Warm-up, of each: at most so many requests, for so long.
WARM_UP_REQUESTS = 500
WARM_UP_SECONDS = 2


# Each round has one of them beside the pair: in ten rounds each is measured once.
OTHERS = (*(n for n in variants.OTHERS if n != "arenas-2"), *variants.BUDGETS)
# Where only two can serve at the same time, these.
FEW = ("arenas-1", "trim-threshold", "jemalloc", "jemalloc-tuned", "mimalloc")


def names_of(
    workload: Workload, number: int, chosen: list[str], quick: bool
) -> list[str]:
    """Return which variants serve at the same time in a round, in their order: it begins with another one each time."""
    names = list(variants.PAIR)
    others = [name for name in OTHERS if name in chosen]
    few = [name for name in FEW if name in chosen]
    if quick or not workload.variants:
        # The pair alone.
        pass
    elif workload.beside and others:
        names.append(others[number % len(others)])
    elif not workload.beside and few and number % 2:
        names[1] = few[number // 2 % len(few)]
    turn = number % len(names)
    return names[turn:] + names[:turn]


@dataclass
class Figures:
    """What one variant did in one round."""

    outcome: Outcome
    cpu_ms: float
    faults: float
    switches: float
    mean_mib: float
    trims: int

    def as_run(self, variant: str, number: int) -> Run:
        """Return them as the raw files have them."""
        return {
            "variant": variant,
            "repetition": number,
            "mean_mib": self.mean_mib,
            "cpu_ms_per_request": self.cpu_ms,
            "faults_per_request": self.faults,
            "switches_per_request": self.switches,
            "trims": self.trims,
            "failed": self.outcome.failed,
            "dropped": self.outcome.dropped,
            "requests": self.outcome.answered,
            "latency": latencies(self.outcome),
        }


def serve(
    bench: Bench, workload: Workload, names: list[str], rate: float, seconds: float
) -> dict[str, Figures]:
    """Load one server of each variant at the same time."""
    with ExitStack() as stack:
        launches = {name: workload.launch(bench, VARIANTS[name]) for name in names}
        servers = {
            name: stack.enter_context(bench.server(launch, VARIANTS[name]))
            for name, launch in launches.items()
        }
        for server in servers.values():
            workload.settle(server)
        for launch in launches.values():
            client.send(workload.phase(launch, WARM_UP_REQUESTS, 1, WARM_UP_SECONDS))
        before = {name: sampler.usage(server.root) for name, server in servers.items()}
        samples = {
            name: stack.enter_context(Sampler(server.pids))
            for name, server in servers.items()
        }
        outcomes: dict[str, Outcome] = {}

        def load(name: str) -> None:
            phase = workload.open_phase(launches[name], rate, seconds)
            outcomes[name] = client.send(phase)

        threads = [threading.Thread(target=load, args=(name,)) for name in names]
        for number, thread in enumerate(threads):
            thread.start()
            # Not in step: they would always be in each other's way.
            time.sleep(0.5 if number + 1 < len(threads) else 0)
        for thread in threads:
            thread.join()
        result = {}
        for name, server in servers.items():
            used, outcome = sampler.usage(server.root) - before[name], outcomes[name]
            memory = samples[name].between(outcome.began, outcome.ended)
            result[name] = Figures(
                outcome,
                1_000 * used.cpu / outcome.answered,
                used.minor_faults / outcome.answered,
                used.switches / outcome.answered,
                statistics.fmean(sample.rss for sample in memory),
                trims.read(server.log).count,
            )
        return result


def p99(rounds: list[Figures]) -> float:
    """Return the 99th percentile of all rounds together, in milliseconds."""
    histogram: Counter[int] = Counter()
    for figures in rounds:
        histogram.update(figures.outcome.histogram)
    return client.percentile_of(histogram, 99) or 0.0


def table(rounds: dict[str, list[Figures]]) -> list[str]:
    """Return the figures of all as lines of Markdown; what the others are compared with is the first."""
    lines = [
        "| | mean RSS, MiB | CPU a request, ms | × | of each round | p50, ms | p99, ms | × | faults a request | trims a round | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    base = next(iter(rounds.values()))
    for name, figures in rounds.items():
        ratios = [a.cpu_ms / b.cpu_ms for a, b in zip(figures, base, strict=True)]
        cells = (
            name,
            f"{statistics.fmean(f.mean_mib for f in figures):.1f}",
            f"{statistics.fmean(f.cpu_ms for f in figures):.3f}",
            f"{sum(f.cpu_ms for f in figures) / sum(f.cpu_ms for f in base):.3f}",
            f"{min(ratios):.3f}–{max(ratios):.3f}",
            f"{statistics.median(f.outcome.p50 for f in figures):.2f}",
            f"{p99(figures):.1f}",
            f"{p99(figures) / p99(base):.3f}",
            f"{statistics.fmean(f.faults for f in figures):.1f}",
            f"{statistics.fmean(f.trims for f in figures):.0f}",
            str(sum(f.outcome.failed for f in figures)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-together", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--workload", choices=workloads.ALL, default="rows-gthread-20", metavar="NAME"
    )
    parser.add_argument(
        "--variant",
        action="append",
        metavar="NAME",
        help="plain and defaults, unless given",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="SHARE",
        help="of what the plain server can answer (default: the workload's)",
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--library", type=Path, required=True, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        names = [variants.register(name) for name in chosen.variant or variants.PAIR]
    except ValueError as error:
        parser.error(f"no such variant: {error}")
    workload = workloads.ALL[chosen.workload]
    rounds: dict[str, list[Figures]] = {name: [] for name in names}
    with (
        tempfile.TemporaryDirectory(prefix="autotrim-bench-") as scratch,
        Services(Path(scratch)) as services,
    ):
        bench = Bench(services, chosen.library.resolve(), False, print)
        share = chosen.rate or workload.rate
        rate = share * workload.calibrate(bench)["throughput"]
        print(f"{rate:.0f} requests a second for each of {len(names)}")
        for number in range(chosen.rounds):
            turn = number % len(names)
            order = names[turn:] + names[:turn]
            for name, figures in serve(
                bench, workload, order, rate, chosen.seconds
            ).items():
                rounds[name].append(figures)
            print(
                f"{number + 1}: "
                + ", ".join(
                    f"{name} {rounds[name][-1].cpu_ms:.3f} ms" for name in names
                )
            )
    print(f"\n{workload.title}", *table(rounds), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
