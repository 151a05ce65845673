"""Node under Express: rows as JSON between small status requests, also on a server that has little to do."""

from __future__ import annotations

from bench import ROOT
from bench.server import Launch, node
from bench.services import free_port
from bench.variants import Variant
from bench.workloads.base import Bench, Timing, mixed_rows
from bench.workloads.native_threads import Program
from bench.workloads.rows import SETTINGS


class Express(Program):
    """One process."""

    def launch(self, bench: Bench, variant: Variant) -> Launch:
        """Return Node's command."""
        port = free_port()
        app = str(ROOT / "bench" / "apps" / "rows_express.js")
        return node(["node", app, str(port)], port, {"NODE_PATH": bench.services.web})

    def targets(self, count: int, seed: int) -> list[str]:
        """Return the mix."""
        return mixed_rows(count, seed)


EXPRESS = (
    Express(
        "rows-express",
        "Node and Express, 8 clients, made-up rows as JSON",
        SETTINGS,
        in_quick=False,
        program="node",
        package="nodejs",
    ),
    Express(
        "rows-express-20",
        "Node and Express, made-up rows as JSON, 20 % of what it can do",
        {},
        group="part-load",
        timing=Timing(closed=0.0, open=60.0),
        rate=0.2,
        rounds=3,
        in_quick=False,
        program="node",
        package="nodejs",
    ),
)
