"""The table of workloads, one file for each kind."""

from __future__ import annotations

from bench.workloads.base import Workload
from bench.workloads.big_heap import BIG_HEAPS
from bench.workloads.burst_then_quiet import BURST_THEN_QUIET
from bench.workloads.express import EXPRESS
from bench.workloads.frameworks import FRAMEWORKS
from bench.workloads.large_buffers import LARGE_BUFFERS
from bench.workloads.native_threads import NATIVE_THREADS
from bench.workloads.oom import OOM
from bench.workloads.preload import PRELOAD
from bench.workloads.pulp import PULP
from bench.workloads.pushes import PUSHES
from bench.workloads.rows import PART_LOAD, ROWS
from bench.workloads.tasks import TASKS

ALL: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *ROWS,
        *PART_LOAD,
        *FRAMEWORKS,
        *TASKS,
        *EXPRESS,
        PUSHES,
        LARGE_BUFFERS,
        *NATIVE_THREADS,
        *BIG_HEAPS,
        BURST_THEN_QUIET,
        OOM,
        PRELOAD,
        *PULP,
    )
}
