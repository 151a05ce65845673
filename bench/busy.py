"""How busy the machine is with something else: what would be charged to whoever is measured then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

# Shares of all CPUs: what is quiet enough, over how long, and for how long a run waits for it.
QUIET = 0.1
LOOK_SECONDS = 0.3
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Busy:
    """CPU time since boot, of all CPUs, in ticks."""

    total: int
    idle: int
    stolen: int

    @staticmethod
    def now() -> Busy:
        """Read the first line of /proc/stat: user nice system idle iowait irq softirq steal, and guests', which are in user."""
        line = Path("/proc/stat").read_text().splitlines()[0]
        ticks = [int(word) for word in line.split()[1:9]]
        return Busy(sum(ticks), ticks[3] + ticks[4], ticks[7])

    def share(self, later: Busy) -> float:
        """Return which share of the time in between somebody worked, the hypervisor's other guests included."""
        return 1 - (later.idle - self.idle) / max(1, later.total - self.total)

    def steal(self, later: Busy) -> float:
        """Return which share of the time in between the hypervisor gave to other guests."""
        return (later.stolen - self.stolen) / max(1, later.total - self.total)


class Watch:
    """What the machine did besides: `before` a run, which waits for quiet, and how much was stolen meanwhile."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + patience
        while True:
            began = Busy.now()
            time.sleep(LOOK_SECONDS)
            self._began = Busy.now()
            self.before = began.share(self._began)
            if self.before <= QUIET or time.monotonic() > deadline:
                return

    @property
    def is_quiet(self) -> bool:
        """Tell whether the run could begin on a quiet machine."""
        return self.before <= QUIET

    def figures(self) -> dict[str, float]:
        """Return what goes into the raw files."""
        return {
            "busy_before": self.before,
            "steal_share": self._began.steal(Busy.now()),
        }
