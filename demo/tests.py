"""The command line, and what is asked for. Run by tests/benchmarks.rs."""

from __future__ import annotations

import contextlib
import io
import unittest
from unittest import mock

from demo import load, options, programs


def refused(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what is written of a command line that is refused."""
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        try:
            options.parse([*arguments])
        except SystemExit as end:
            return end.code, written.getvalue()
    raise AssertionError(f"{arguments} is not refused")


class CommandLine(unittest.TestCase):
    """What each server takes."""

    def test_what_is_needed_is_gunicorns_alone(self) -> None:
        chosen = options.parse([])
        self.assertEqual((chosen.server, chosen.worker), ("gunicorn", "gthread"))
        self.assertEqual(chosen.requests, 10_000)

    def test_pulp_is_asked_less(self) -> None:
        with mock.patch("demo.options.missing", return_value=[]):
            self.assertEqual(options.parse(["--server", "pulp"]).requests, 500)

    def test_a_worker_is_gunicorns(self) -> None:
        code, text = refused("--server", "node", "--worker", "sync")
        self.assertEqual(code, 2)
        self.assertIn("node has none, gunicorn has", text)

    def test_a_missing_server_is_told_with_its_package_in_one_line(self) -> None:
        with (
            mock.patch("shutil.which", return_value=None),
            mock.patch("glob.glob", return_value=[]),
        ):
            self.assertEqual(
                refused("--server", "node"),
                (
                    1,
                    "scripts/demo: node is missing (Debian: apt install nodejs)\n",
                ),
            )
            self.assertEqual(
                refused("--server", "pulp"),
                (
                    1,
                    "scripts/demo: redis-server and PostgreSQL are missing (Debian: apt install redis-server postgresql)\n",
                ),
            )

    def test_every_worker_has_a_command(self) -> None:
        self.assertEqual(list(options.WORKERS), list(programs.WORKERS))


class Requests(unittest.TestCase):
    """The mix."""

    def test_bursts_of_rows_come_between_status_requests(self) -> None:
        kind = load.Kind()
        targets = load.paths(3_000, kind)
        bursts = [target for target in targets if target != kind.status]
        self.assertTrue(50 < len(bursts) < 200)
        self.assertEqual(targets, load.paths(3_000, kind))
        self.assertTrue(all(target.startswith("/rows?first=") for target in bursts))

    def test_pulp_is_asked_for_no_more_users_than_it_has(self) -> None:
        targets = set(load.paths(3_000, programs.PULP)) - {programs.PULP.status}
        counts = [int(target.partition("limit=")[2]) for target in targets]
        self.assertTrue(counts)
        self.assertLessEqual(max(counts), programs.PULP.rows)
