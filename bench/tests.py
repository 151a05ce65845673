"""What the report makes of raw figures, and in what order runs are made. Run by tests/benchmarks.rs."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import (
    ROOT,
    client,
    options,
    promises,
    report,
    results,
    runner,
    sampler,
    summary,
    together,
    trims,
)
from bench.client import Load, Phase
from bench.queues import Queue
from bench.results import Results, Run
from bench.server import Launch, Server, environment
from bench.services import Services, free_port
from bench.variants import PAIR, VARIANTS
from bench.workloads import ALL


def run(variant: str, repetition: int, mean: float, **more: object) -> Run:
    """Return a run as a workload gives it."""
    phase = {
        "seconds": 1.0,
        "answered": 100,
        "mib": 1.0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "max_ms": 3.0,
        "histogram": {client.bucket(1.0): 99, client.bucket(2.0): 1},
    }
    return {
        "variant": variant,
        "repetition": repetition,
        "start_mib": 20.0,
        "mean_mib": mean,
        "peak_mib": mean,
        "quiet_mib": mean,
        "rest_mib": 30.0,
        "live_mib": 25.0,
        "in_use_mib": 22.0,
        "requests": 200,
        "requests_in_all": 220,
        "throughput": 100.0,
        "cpu_ms_per_request": 1.0,
        "faults_per_request": 2.0,
        "failed": 0,
        "dropped": 0,
        "latency": phase,
        "enabled": variant != "plain",
        "trims": 2,
        "trim_share": 0.001,
        "trim_ms": 22.0,
        "longest_trim_ms": 1.5,
        "samples": [[0.0, mean], [1.0, mean]],
    } | more


def results_of(*runs: Run, together: tuple[Run, ...] = ()) -> Results:
    """Return a workload's results."""
    machine = {"cpu": "one", "library": "abc"}
    return Results("rows-gthread", machine, runs=list(runs), together=list(together))


def preloaded(mean: float, quiet: float) -> Results:
    """Return results of which the defaults have this PSS under load and after it, and plain 100 MiB."""
    plain = run("plain", 0, 0.0, mean_pss_mib=100.0, quiet_pss_mib=100.0)
    ours = run("defaults", 0, 0.0, mean_pss_mib=mean, quiet_pss_mib=quiet)
    return dataclasses.replace(results_of(plain, ours), workload="preload")


class Summary(unittest.TestCase):
    """Medians, ratios, percentiles."""

    def test_a_ratio_is_to_the_plain_run_of_the_same_round(self) -> None:
        found = results_of(
            run("plain", 0, 100.0),
            run("plain", 1, 200.0),
            run("defaults", 0, 50.0),
            run("defaults", 1, 50.0),
        )
        ratio = summary.ratio(found, "defaults", "mean_mib")
        self.assertEqual(ratio, summary.Spread(0.375, 0.25, 0.5))

    def test_a_run_without_its_plain_run_gives_no_ratio(self) -> None:
        found = results_of(run("plain", 0, 100.0), run("defaults", 1, 50.0))
        self.assertIsNone(summary.ratio(found, "defaults", "mean_mib"))

    def test_trims_and_page_faults_are_counted_against_plains(self) -> None:
        found = results_of(
            run("plain", 0, 100.0, trim_ms=0.0),
            run("defaults", 0, 50.0, faults_per_request=102.0),
        )
        # 22 ms of 220 requests, and 100 page faults more, at 1.0 ms of CPU time each.
        self.assertAlmostEqual(summary.counted_cost(found, "defaults"), 0.24)
        self.assertEqual(summary.counted_cost(found, "plain"), 0.0)
        self.assertIsNone(summary.counted_cost(results_of(), "defaults"))

    def test_percentiles_are_those_of_all_rounds_together(self) -> None:
        slow = {"answered": 100, "histogram": {str(client.bucket(500.0)): 100}}
        found = results_of(run("plain", 0, 1.0), run("plain", 1, 1.0, latency=slow))
        self.assertAlmostEqual(summary.latency(found, "plain", 25), 1.0, delta=0.01)
        self.assertAlmostEqual(summary.latency(found, "plain", 99), 500.0, delta=5.0)

    def test_a_bucket_is_one_percent_wide(self) -> None:
        for latency in (0.05, 1.0, 73.0, 30_000.0):
            middle = client.milliseconds(client.bucket(latency))
            self.assertAlmostEqual(middle / latency, 1.0, delta=0.006)

    def test_percentile_is_the_nearest_rank(self) -> None:
        ordered = [float(number) for number in range(1, 101)]
        self.assertEqual(client.percentile(ordered, 99), 99.0)
        self.assertEqual(client.percentile(ordered, 50), 50.0)
        self.assertEqual(client.percentile([7.0], 99), 7.0)
        self.assertEqual(client.percentile([], 99), 0.0)

    def test_restarts_and_other_allocators_do_not_say_what_is_live(self) -> None:
        found = results_of(
            run("plain", 0, 1.0, live_mib=40.0),
            run("arenas-1", 0, 1.0, live_mib=35.0),
            run("defaults", 0, 1.0, live_mib=None),
            run("max-requests", 0, 1.0, live_mib=10.0),
            run("jemalloc", 0, 1.0, live_mib=None),
        )
        self.assertEqual(summary.live(found), 35.0)
        self.assertFalse(summary.is_collected(found))

    def test_slow_requests_are_those_far_beyond_plain(self) -> None:
        histogram = {client.bucket(1.0): 98, client.bucket(50.0): 2}
        slow = {"answered": 100, "histogram": histogram}
        found = results_of(
            run("plain", 0, 1.0), run("max-requests", 0, 1.0, latency=slow)
        )
        self.assertEqual(summary.slowed(found, "max-requests"), 200.0)
        self.assertEqual(summary.slowed(found, "plain"), 0.0)


class Promises(unittest.TestCase):
    """Verdicts follow from figures."""

    def verdict(self, found: Results, promise: str) -> promises.Verdict:
        """Return the verdict on a promise."""
        everything = promises.verdicts({found.workload: found})
        return next(one for one in everything if one.promise.startswith(promise))

    def test_memory_is_held_against_what_is_live(self) -> None:
        plain = run("plain", 0, 90.0)
        good = results_of(plain, run("defaults", 0, 90.0, quiet_mib=28.5))
        bad = results_of(plain, run("defaults", 0, 90.0, quiet_mib=29.0))
        promise = "RSS 2 s after the load, × live"
        self.assertTrue(self.verdict(good, promise).holds)
        self.assertFalse(self.verdict(bad, promise).holds)
        late = results_of(run("plain", 0, 90.0, quiet_s=4.0), run("defaults", 0, 29.0))
        self.assertFalse(self.verdict(late, "RSS 4 s after the load").holds)
        self.assertTrue(self.verdict(self.part(31.0), "mean RSS at part").holds)
        self.assertFalse(self.verdict(self.part(32.0), "mean RSS at part").holds)

    def part(self, mean: float, *others: Run) -> Results:
        """Return what a workload gives whose defaults have this mean at part load."""
        full = (run("plain", 0, 90.0), run("defaults", 0, 40.0))
        together = (run("plain", 0, 90.0), run("defaults", 0, mean), *others)
        return results_of(*full, together=together)

    def test_lowest_is_who_has_no_better_one_beside(self) -> None:
        best = self.part(31.0, run("mimalloc", 0, 34.0))
        beaten = self.part(31.0, run("mimalloc", 0, 30.0))
        everything = dict.fromkeys(map(str, range(12)), best)
        self.assertTrue(promises.verdicts(everything)[-1].holds)
        self.assertFalse(promises.verdicts(everything | {"0": beaten})[-1].holds)

    def test_who_is_better_in_both_is_named(self) -> None:
        budget = run("overhead-5", 0, 50.0, cpu_ms_per_request=1.2)
        found = results_of(
            run("plain", 0, 90.0),
            run("defaults", 0, 40.0),
            budget,
            run("arenas-1", 0, 45.0, cpu_ms_per_request=1.1),
        )
        verdict = self.verdict(found, "nobody has both")
        self.assertFalse(verdict.holds)
        self.assertEqual(
            verdict.measured,
            "MALLOC_ARENA_MAX=1 than libautotrim, AUTOTRIM_OVERHEAD=5",
        )
        found.runs.remove(budget)
        self.assertTrue(self.verdict(found, "nobody has both").holds)

    def test_a_cost_within_the_plain_runs_own_spread_says_so(self) -> None:
        found = results_of(
            run("plain", 0, 90.0, throughput=100.0),
            run("plain", 1, 90.0, throughput=80.0),
            run("defaults", 0, 35.0, throughput=95.0),
            run("defaults", 1, 35.0, throughput=76.0),
        )
        verdict = self.verdict(found, "throughput")
        self.assertFalse(verdict.holds)
        self.assertIn("plain runs differ as much", verdict.text)

    def test_what_is_shared_is_held_against_plain(self) -> None:
        found = preloaded(102.0, 104.0)
        load, quiet = promises.verdicts({"preload": found})[:2]
        self.assertEqual((load.holds, quiet.holds), (True, False))
        self.assertIn("1.040", quiet.measured)

    def test_less_throughput_is_worse(self) -> None:
        found = results_of(
            run("plain", 0, 90.0), run("defaults", 0, 35.0, throughput=97.0)
        )
        self.assertFalse(self.verdict(found, "throughput").holds)

    def test_what_was_not_measured_neither_holds_nor_fails(self) -> None:
        found = results_of(run("plain", 0, 90.0))
        for verdict in promises.verdicts({"rows-gthread": found}):
            self.assertIsNone(verdict.holds, verdict)


class DoneAtOnce:
    """A Redis beside which a worker does each task that says who waits for it."""

    def __init__(self, worker: str, answer: bytes | None) -> None:
        self.worker = worker
        self.answer = answer
        self.tasks: list[tuple[str, list[str]]] = []

    def lpush(self, name: str, message: str) -> None:
        """Read a task as the worker does."""
        task = json.loads(message)
        if self.worker == "celery":
            arguments, named, _ = json.loads(base64.b64decode(task["body"]))
            assert not named
            assert task["headers"]["task"] == "index"
            assert task["headers"]["id"] == task["properties"]["correlation_id"]
        else:
            arguments = task["args"]
            assert (task["class"], task["retry"]) == ("Index", False)
        self.tasks.append((name, arguments))

    def blpop(self, names: list[str], _: float) -> tuple[str, bytes] | None:
        """Return the answer to the last task."""
        assert names == self.tasks[-1][1][1:], "the task knows who waits"
        return (names[0], self.answer) if self.answer else None


class Tasks(unittest.TestCase):
    """Work for those who listen at no port."""

    def queue(self, worker: str, answer: bytes | None) -> tuple[Queue, DoneAtOnce]:
        """Return a queue without a Redis."""
        queue, done = Queue(1, 0, worker), DoneAtOnce(worker, answer)
        vars(queue)["_redis"] = done
        return queue, done

    def test_a_task_is_in_its_workers_list_and_answered_when_it_is_done(self) -> None:
        for worker, name in (("celery", "celery"), ("sidekiq", "queue:default")):
            queue, done = self.queue(worker, b"42")
            self.assertEqual(
                [queue.ask("/rows?count=1"), queue.ask("/status")], [42] * 2
            )
            self.assertTrue(queue.is_served())
            lists, arguments = zip(*done.tasks, strict=True)
            self.assertEqual(set(lists), {name})
            targets, waiting = zip(*arguments, strict=True)
            self.assertEqual(targets, ("/rows?count=1", "/status", "/status"))
            self.assertEqual(len(set(waiting)), 3)

    def test_tasks_are_counted_as_requests_are(self) -> None:
        queue, _ = self.queue("sidekiq", b"42")
        targets = ["/status", "/rows?first=1&count=2", "/status"]
        outcome = Load(Phase(1, targets, 1, 60, queue=queue)).run()
        self.assertEqual((outcome.answered, outcome.failed), (3, 0))
        self.assertEqual(outcome.paths, {"/status": 2, "/rows": 1})
        self.assertEqual(outcome.bytes, 3 * 42)

    def test_a_task_that_nobody_does_has_failed(self) -> None:
        queue, _ = self.queue("celery", None)
        self.assertFalse(queue.is_served())
        outcome = Load(Phase(1, ["/status"], 1, 60, queue=queue)).run()
        self.assertEqual((outcome.answered, outcome.failed), (0, 1))

    def test_the_client_gets_its_queue_and_says_where_no_redis_is(self) -> None:
        queue = Queue(free_port(), 0, "celery")
        self.assertFalse(queue.is_served())
        outcome = client.send(Phase(queue.port, ["/status"], 1, 60, queue=queue))
        self.assertEqual((outcome.answered, outcome.failed), (0, 1))
        self.assertIn("refused", outcome.errors[0])

    def test_no_worker_shares_its_queue(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            services = Services(Path(directory))
            vars(services)["redis"] = 1
            queues = [
                services.queue(worker) for worker in ("celery", "celery", "sidekiq")
            ]
        self.assertEqual(len({queue.url for queue in queues}), 3)


class Samples(unittest.TestCase):
    """What /proc tells."""

    def test_a_child_is_younger_than_its_parent(self) -> None:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
            age = sampler.age(child.pid)
        self.assertLess(age, sampler.age(os.getpid()))

    def test_what_two_processes_share_counts_once(self) -> None:
        block = bytearray(b"x") * (64 << 20)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)  # until the parent closes its end
            os._exit(0)
        try:
            found = sampler.proportional([os.getpid(), child])
        finally:
            os.close(write)
            os.waitpid(child, 0)
            os.close(read)
        self.assertGreater(found.rss - found.pss, 0.9 * len(block) / (1 << 20))
        self.assertEqual(sampler.proportional([child]), sampler.Memory())


class Report(unittest.TestCase):
    """The page is made of the raw files."""

    def test_a_file_that_is_written_and_read_gives_the_same_page(self) -> None:
        pair = (run("plain", 0, 90.0), run("defaults", 0, 35.0))
        beside = (run("plain", 0, 80.0), run("defaults", 0, 30.0))
        found = results_of(*pair, together=beside)
        with tempfile.TemporaryDirectory() as directory:
            output = Path(directory)
            results.save(output, found)
            report.make(output)
            page = (output / "benchmarks.md").read_text()
            self.assertTrue((output / "benchmarks" / "rows-gthread.png").is_file())
            table = (output / "benchmarks" / "runs.csv").read_text().splitlines()
            again = results.load(output, "rows-gthread")
            assert again
            results.save(output, again)
            report.make(output)
            self.assertEqual(page, (output / "benchmarks.md").read_text())
        self.assertEqual(len(table), 5)
        self.assertIn("| plain | 1 | 90.0 (90.0–90.0) | 3.60 | 90.0 |", page)
        self.assertIn(
            "| **libautotrim, defaults** | 1 | 30.0 (30.0–30.0) | 1.20 |", page
        )
        self.assertIn(
            "Live: 25.0 MiB (garbage counted as live), of which 22.0 are in use.", page
        )

    def test_shared_memory_stands_in_a_table_of_its_own(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            results.save(Path(directory), preloaded(102.0, 95.0))
            report.make(Path(directory))
            page = (Path(directory) / "benchmarks.md").read_text()
        self.assertIn("| 102.0 (102.0–102.0) | 1.02 (1.02–1.02) | 95.0", page)
        self.assertNotIn("At full load", page.partition("## preload")[2])

    def test_a_failed_run_is_told_and_is_no_figure(self) -> None:
        failed = {"variant": "defaults", "repetition": 0, "error": "no answer\nmore"}
        found = results_of(run("plain", 0, 90.0), failed)
        self.assertFalse(found.done("defaults", 0))
        with tempfile.TemporaryDirectory() as directory:
            results.save(Path(directory), found)
            report.make(Path(directory))
            page = (Path(directory) / "benchmarks.md").read_text()
        self.assertIn("**Failed:** libautotrim, defaults: no answer", page)

    def test_a_run_that_is_made_again_takes_the_place_of_the_failed_one(self) -> None:
        failed = {"variant": "defaults", "repetition": 0, "error": "no answer"}
        found = results_of(failed)
        found.add(run("defaults", 0, 35.0))
        self.assertEqual(len(found.runs), 1)
        self.assertTrue(found.done("defaults", 0))

    def test_runs_of_another_build_do_not_mix(self) -> None:
        found = results_of(run("plain", 0, 90.0))
        self.assertTrue(found.goes_with(dict(found.machine), quick=False))
        self.assertFalse(found.goes_with(found.machine | {"library": "x"}, quick=False))
        self.assertFalse(found.goes_with(dict(found.machine), quick=True))


class Order(unittest.TestCase):
    """Rounds alternate."""

    def test_plain_and_the_defaults_stand_side_by_side_in_every_round(self) -> None:
        chosen = options.parse(["--workload", "rows-gthread"])
        jobs = list(runner.jobs(ALL["rows-gthread"], chosen))
        for repetition in range(3):
            names = [job.variant for job in jobs if job.repetition == repetition]
            places = [names.index(name) for name in PAIR]
            self.assertEqual(abs(places[0] - places[1]), 1, names)
            self.assertEqual(places[0] < places[1], repetition % 2 == 0)
        first = [job.variant for job in jobs if job.repetition == 0]
        second = [job.variant for job in jobs if job.repetition == 1]
        self.assertLessEqual(set(second), set(first))
        self.assertNotEqual(first[2], second[0])

    def test_a_setting_of_the_library_is_a_variant(self) -> None:
        name = "AUTOTRIM_GROWTH=4M,2%+AUTOTRIM_IDLE=0"
        arguments = ["--workload", "rows-sync", "--variant", "plain", "--variant", name]
        jobs = list(runner.jobs(ALL["rows-sync"], options.parse(arguments)))
        self.assertEqual(len([job for job in jobs if job.variant == name]), 3)
        made = VARIANTS.pop(name)
        expected = {"AUTOTRIM_GROWTH": "4M,2%", "AUTOTRIM_IDLE": "0"}
        self.assertEqual((made.environment, made.library), (expected, True))

    def test_every_workload_measures_what_the_promises_are_about(self) -> None:
        for workload in ALL.values():
            # One at part load alone has no variants of its own.
            for name in PAIR if workload.variants else ():
                self.assertIn(name, workload.variants)
                self.assertIn(name, workload.quick_variants)
            self.assertLessEqual(set(workload.variants), set(VARIANTS))
            if workload.in_quick:
                quick = set(workload.quick_variants)
                self.assertLessEqual(quick, set(workload.variants))

    def test_at_part_load_each_round_has_the_pair_and_all_rounds_have_everyone(
        self,
    ) -> None:
        workload = ALL["rows-gthread"]
        chosen = options.parse(["--workload", "rows-gthread"])
        seen = []
        for number in runner.rounds(workload, chosen):
            names = together.names_of(workload, number, chosen.variant, quick=False)
            self.assertLessEqual(set(PAIR), set(names))
            self.assertEqual(len(names), len(PAIR) + 1)
            seen += names
        self.assertLessEqual(set(together.OTHERS), set(seen))

    def test_what_uses_all_cpus_has_two_at_a_time(self) -> None:
        workload = ALL["native-threads"]
        chosen = options.parse(["--workload", "native-threads"])
        seen = []
        for number in runner.rounds(workload, chosen):
            names = together.names_of(workload, number, chosen.variant, quick=False)
            self.assertEqual(len(set(names)), 2)
            self.assertIn("plain", names)
            seen += names
        self.assertEqual(seen.count("defaults"), workload.rounds / 2)
        self.assertLessEqual(set(together.FEW), set(seen))

    def test_the_same_seed_gives_the_same_load(self) -> None:
        for workload in ALL.values():
            targets = workload.targets(500, 1)
            self.assertEqual(len(targets), 500)
            self.assertEqual(targets, workload.targets(500, 1))


class Streams(unittest.TestCase):
    """Events are pushed to who has asked once."""

    @contextmanager
    def server(self) -> Iterator[int]:
        """Run the application without a database; return its port."""
        port = free_port()
        command = [sys.executable, "-m", "bench.apps.pushes_aiohttp", str(port)]
        launch = Launch(command, port, {"PYTHONPATH": str(ROOT)}, forks=False)
        variables = environment(VARIANTS["plain"], [], launch.environment)
        with (
            tempfile.TemporaryDirectory() as directory,
            Server(launch, variables, Path(directory) / "log"),
        ):
            yield port

    def test_events_come_when_they_are_due_and_the_streams_stay(self) -> None:
        phase = Phase(0, ["/status"] * 40, 4, 60.0, 100.0, streams=True)
        with self.server() as port:
            outcome = client.send(dataclasses.replace(phase, port=port))
            self.assertEqual((outcome.answered, outcome.failed), (40, 0), outcome)
            self.assertEqual(outcome.paths, {"/status": 40})
            # The last of 40 is due after 0.4 s, more or less, and none comes before it is.
            self.assertGreater(outcome.ended - outcome.began, 0.2)
            self.assertGreater(min(outcome.histogram), client.bucket(0.0))
            self.assertEqual(len(established(port)), 4)

    def test_without_moments_one_event_comes_after_the_other(self) -> None:
        phase = Phase(0, ["/status"] * 500, 4, 60.0, streams=True)
        with self.server() as port:
            outcome = client.send(dataclasses.replace(phase, port=port))
        self.assertEqual((outcome.answered, outcome.failed), (500, 0), outcome)

    def test_events_that_never_come_have_failed(self) -> None:
        phase = Phase(0, ["/status", "/rows", "/status"], 1, 60.0, streams=True)
        with self.server() as port:
            outcome = client.send(dataclasses.replace(phase, port=port))
        self.assertEqual((outcome.answered, outcome.failed), (1, 2), outcome)

    def test_events_are_told_apart_wherever_they_are_cut(self) -> None:
        text = b"data: 1\n\ndata: 22\n\ndata: 333\n\n"
        for size in range(1, len(text) + 1):
            cut = [text[start : start + size] for start in range(0, len(text), size)]
            sizes = list(client.events(FakeStream(cut), 3))
            self.assertEqual((len(sizes), sum(sizes)), (3, len(text)), size)


class FakeStream:
    """Gives bytes piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def read1(self, _: int) -> bytes:
        """Return the next piece."""
        return self._pieces.pop(0)


def established(port: int) -> list[str]:
    """Return the connections to a port of the loopback interface, as /proc/net/tcp has them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    own = f"0100007F:{port:04X}"
    return [
        line for line in lines if line.split()[1] == own and line.split()[3] == "01"
    ]


class Log(unittest.TestCase):
    """The library's lines are summed up."""

    def test_trims_of_all_processes(self) -> None:
        lines = (
            "[gunicorn] not ours\n"
            "autotrim: pid=7 program=gunicorn event=enabled interval=1024\n"
            "autotrim: pid=7 program=gunicorn event=trim trigger=growth requests=10 took_us=1500\n"
            "autotrim: pid=7 program=gunicorn event=trim trigger=idle requests=30 took_us=500 gc_us=2000\n"
            "autotrim: pid=8 program=gunicorn event=trim trigger=idle requests=5 took_us=1000\n"
            "autotrim: pid=8 program=gunicorn event=option_unknown name=AUTOTRIM_X\n"
        )
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            log.write_text(lines)
            found = trims.read(log)
        self.assertEqual((found.count, found.counted, found.enabled), (3, 35, True))
        self.assertEqual((found.total, found.longest, found.gc), (3.0, 1.5, 2.0))
        self.assertEqual(len(found.warnings), 1)


if __name__ == "__main__":
    unittest.main()
