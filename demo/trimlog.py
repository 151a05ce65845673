"""What libautotrim wrote to the server's log about one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PREFIX = "autotrim: "


@dataclass(frozen=True)
class TrimLog:
    """Sum of the log lines."""

    path: Path
    enabled: bool
    trims: int
    seconds: float


def read(log: Path, pid: int) -> TrimLog:
    """Sum up the lines of the process `pid`: logfmt, `autotrim: pid=71 ... event=trim ... took_us=1893`."""
    enabled, took = False, []
    for line in log.read_text(errors="replace").splitlines():
        if not line.startswith(PREFIX):
            continue
        fields = dict(
            field.partition("=")[::2] for field in line[len(PREFIX) :].split()
        )
        if fields.get("pid") != str(pid):
            continue
        if fields.get("event") == "enabled":
            enabled = True
        elif fields.get("event") == "trim":
            took.append(int(fields["took_us"]) / 1e6)
    return TrimLog(log, enabled, len(took), sum(took))
