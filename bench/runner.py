"""Runs what is missing, alternating, and saves each result at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import results, together, workloads
from bench.busy import Watch
from bench.options import Options
from bench.results import Results, Run
from bench.server import ServerError
from bench.services import Services
from bench.variants import PAIR, VARIANTS, is_registered
from bench.workloads.base import Bench, Later, Skipped, Workload

# Of variants that the user has made.
REPETITIONS = 3


@dataclass(frozen=True)
class Job:
    """One run to make."""

    variant: str
    repetition: int


def jobs(workload: Workload, options: Options) -> Iterator[Job]:
    """Return the runs of a workload in their order.

    Each round has every variant once, and begins with another one. Those between which promises are made stand side by
    side, in turns one and the other first.
    """
    counts = workload.variants
    if options.quick:
        counts = dict.fromkeys(workload.quick_variants, 1)
    counts = {name: count for name, count in counts.items() if name in options.variant}
    made = [name for name in options.variant if is_registered(name)]
    counts |= dict.fromkeys(made, 1 if options.quick else REPETITIONS)
    if options.repetitions:
        counts = dict.fromkeys(counts, options.repetitions)
    for repetition in range(max(counts.values(), default=0)):
        names = [name for name, count in counts.items() if count > repetition]
        pair = [name for name in PAIR if name in names]
        others = [name for name in names if name not in PAIR]
        turn = repetition % max(1, len(others))
        others = others[turn:] + others[:turn]
        order = pair + others if repetition % 2 == 0 else others + pair[::-1]
        yield from (Job(name, repetition) for name in order)


def rounds(workload: Workload, options: Options) -> Iterator[int]:
    """Return the rounds at part load."""
    if workload.timing.open and set(PAIR) <= set(options.variant):
        yield from range(1 if options.quick else options.repetitions or workload.rounds)


def plan(options: Options) -> tuple[int, float]:
    """Return how many runs there are in all, and how many minutes they take, the set-up included."""
    count, seconds = 0, 0.0
    for name in options.workload:
        workload = workloads.ALL[name]
        wanted = list(jobs(workload, options))
        count += len(wanted)
        seconds += sum(workload.seconds(job.variant, options.quick) for job in wanted)
        together = len(list(rounds(workload, options)))
        count += together
        seconds += together * workload.round_seconds(options.quick)
        # Its calibration.
        seconds += (3.5 if options.quick else 8.0) if wanted or together else 0.0
    pulp = any(workloads.ALL[name].group == "pulp" for name in options.workload)
    return count, (seconds + 20 + 60 * pulp) / 60


class Runner:
    """Measures all that was asked for and is not there yet."""

    def __init__(self, options: Options, library: Path, machine: Run) -> None:
        self._options = options
        self._library = library
        self._machine = machine
        self._began = time.monotonic()
        # Estimated seconds of all runs to make, and of those that were made.
        self._ahead = 0.0
        self._made = 0.0
        self.problems: list[str] = []

    def run(self, services: Services) -> None:
        """Measure."""
        bench = Bench(services, self._library, self._options.quick, _say)
        todo = []
        for name in self._options.workload:
            workload = workloads.ALL[name]
            known = self._known(name)
            missing = [
                job
                for job in jobs(workload, self._options)
                if not known.done(job.variant, job.repetition)
            ]
            done = {run["repetition"] for run in known.together}
            ahead = [n for n in rounds(workload, self._options) if n not in done]
            self._ahead += sum(
                workload.seconds(job.variant, bench.quick) for job in missing
            ) + len(ahead) * workload.round_seconds(bench.quick)
            todo.append((workload, known, missing, ahead))
        for workload, known, missing, ahead in todo:
            if missing or ahead:
                self._workload(bench, workload, known, missing, ahead)

    def _known(self, name: str) -> Results:
        output = self._options.output
        known = None if self._options.fresh else results.load(output, name)
        if known and not known.goes_with(self._machine, self._options.quick):
            raise SystemExit(
                f"scripts/bench: {results.path(output, name)} is of another machine or build: "
                "--fresh forgets it, --output DIR puts the new one elsewhere"
            )
        return known or Results(name, self._machine, self._options.quick)

    def _workload(
        self,
        bench: Bench,
        workload: Workload,
        known: Results,
        missing: list[Job],
        ahead: list[int],
    ) -> None:
        _say(f"{workload.name}: {workload.title}")
        known.left_out |= self._left_out({job.variant for job in missing})
        waiting: list[tuple[Job, Later]] = []
        try:
            with workload.setting(bench):
                known.skipped = ""
                if not known.calibration:
                    known.calibration = workload.calibrate(bench)
                for job in missing:
                    self._made += workload.seconds(job.variant, bench.quick)
                    if job.variant in known.left_out:
                        _say(
                            f"  {job.variant}: left out: {known.left_out[job.variant]}"
                        )
                        continue
                    while waiting and waiting[0][1].due < time.monotonic():
                        self._finish(known, waiting)
                    watch = self._watch(bench)
                    try:
                        run = workload.run(bench, job.variant, known.calibration)
                    except (ServerError, RuntimeError) as error:
                        run = {"error": str(error)}
                    if isinstance(run, dict):
                        self._add(known, job, run | watch.figures())
                    else:
                        waiting.append((job, run))
                while waiting:
                    self._finish(known, waiting)
                for number in ahead:
                    self._round(bench, workload, known, number)
        except Skipped as reason:
            known.skipped = str(reason)
            _say(f"  skipped: {reason}")
        except (ServerError, RuntimeError, subprocess.CalledProcessError) as error:
            # The other workloads are measured all the same.
            self.problems.append(f"{workload.name}: {error}")
            _say(f"  failed: {error}")
        finally:
            for _, run in waiting:
                run.close()
            results.save(self._options.output, known)

    def _round(
        self, bench: Bench, workload: Workload, known: Results, number: int
    ) -> None:
        self._made += workload.round_seconds(bench.quick)
        timing = workload.timing.quick() if bench.quick else workload.timing
        rate = workload.rate * known.calibration["throughput"]
        left = [name for name in self._options.variant if name not in known.left_out]
        names = together.names_of(workload, number, left, bench.quick)
        watch = self._watch(bench)
        found = together.serve(bench, workload, names, rate, timing.open)
        around = watch.figures()
        for name, figures in found.items():
            known.together.append(figures.as_run(name, number) | around)
        results.save(self._options.output, known)
        told = (
            f"{n} {f.mean_mib:.1f} MiB, {f.cpu_ms:.3f} ms" for n, f in found.items()
        )
        _say(f"  {workload.rate:.0%} {number + 1}: {'; '.join(told)}  {self._time()}")

    @staticmethod
    def _watch(bench: Bench) -> Watch:
        watch = Watch(0.0) if bench.quick else Watch()
        if not watch.is_quiet:
            _say(f"  the machine is {watch.before:.0%} busy with something else")
        return watch

    def _time(self) -> str:
        elapsed = time.monotonic() - self._began
        left = elapsed / self._made * (self._ahead - self._made) / 60
        return f"[{elapsed / 60:.0f} min, about {left:.0f} left]"

    def _finish(self, known: Results, waiting: list[tuple[Job, Later]]) -> None:
        job, run = waiting.pop(0)
        self._add(known, job, run.finish())

    def _left_out(self, names: set[str]) -> dict[str, str]:
        binary = self._library.read_bytes()
        return {
            name: f"this build of the library has no {option}"
            for name in names
            for option in VARIANTS[name].environment
            if option.startswith("AUTOTRIM_") and option.encode() not in binary
        }

    def _add(self, known: Results, job: Job, run: Run) -> None:
        known.add({"variant": job.variant, "repetition": job.repetition} | run)
        results.save(self._options.output, known)
        where = f"{known.workload}, {job.variant}"
        if "error" in run:
            self.problems.append(f"{where}: {run['error']}")
        elif VARIANTS[job.variant].library and not run["enabled"]:
            self.problems.append(f"{where}: the library never logged event=enabled")
        _say(f"  {job.variant} {job.repetition + 1}: {_in_short(run)}  {self._time()}")


def _in_short(run: Run) -> str:
    if "error" in run:
        return run["error"]
    parts = [f"{run['requests']} requests"]
    for name, form in (
        ("mean_mib", "mean {:.1f} MiB"),
        ("quiet_mib", "quiet {:.1f}"),
        ("after_2s_mib", "after 2 s {:.1f} MiB"),
        ("mean_pss_mib", "mean PSS {:.1f} MiB"),
        ("quiet_pss_mib", "quiet PSS {:.1f}"),
        ("mean_rss_mib", "mean RSS {:.1f}"),
        ("rest_mib", "trimmed at rest {:.1f}"),
        ("live_mib", "live {:.1f}"),
        ("cpu_ms_per_request", "CPU {:.2f} ms"),
        ("oom_kills", "{} OOM kills"),
        ("trims", "{} trims"),
        ("failed", "{} failed"),
    ):
        if run.get(name):
            parts.append(form.format(run[name]))
    return ", ".join(parts)


def _say(line: str) -> None:
    print(line, flush=True)
