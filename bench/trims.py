"""What libautotrim wrote to a server's log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PREFIX = "autotrim: "


@dataclass(frozen=True)
class Trims:
    """Sum over all processes of a server; times are milliseconds."""

    count: int
    # Requests that the processes had counted at their last trims.
    counted: int
    total: float
    longest: float
    gc: float
    enabled: bool
    warnings: list[str]


def read(log: Path) -> Trims:
    """Read the lines: logfmt, `autotrim: pid=71 ... event=trim ... took_us=1893`."""
    took, gc, enabled, warnings = [], 0.0, False, []
    counted: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        if not line.startswith(PREFIX):
            continue
        parts = (part.partition("=") for part in line[len(PREFIX) :].split())
        fields = {name: value for name, _, value in parts}
        match fields.get("event"):
            case "enabled":
                enabled = True
            case "trim":
                took.append(int(fields["took_us"]) / 1e3)
                counted[fields["pid"]] = int(fields["requests"])
                gc += int(fields.get("gc_us", 0)) / 1e3
            case _:
                warnings.append(line)
    longest = max(took, default=0.0)
    total = sum(counted.values())
    return Trims(len(took), total, sum(took), longest, gc, enabled, warnings)
