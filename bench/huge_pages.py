"""The kernel's transparent huge pages: set for a while, and set back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import sampler

SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
# The kernel's thread looks at everything at once, without a rest.
EAGER = {
    "khugepaged/scan_sleep_millisecs": "0",
    "khugepaged/alloc_sleep_millisecs": "0",
    "khugepaged/pages_to_scan": "1000000",
}
COLLAPSE_SECONDS = 15


def current() -> str:
    """Return the setting, `always` say."""
    return _value("enabled")


@contextmanager
def setting(values: dict[str, str]) -> Iterator[None]:
    """Change settings, and set them back."""
    with ExitStack() as stack:
        for name, value in values.items():
            stack.callback((SETTINGS / name).write_text, _value(name))
            (SETTINGS / name).write_text(value)
        yield


def collapse(pids: list[int]) -> None:
    """Have the kernel put what it can into huge pages now, as it does with a process that has run for hours.

    glibc's heap grows in steps that are too small to get huge pages at once.
    """
    with setting(EAGER):
        before = -1.0
        deadline = time.monotonic() + COLLAPSE_SECONDS
        while time.monotonic() < deadline:
            now = sampler.huge_pages(pids)
            if now and now == before:
                return
            before = now
            time.sleep(0.3)


def _value(name: str) -> str:
    text = (SETTINGS / name).read_text().strip()
    # The one in brackets, where there is a choice.
    return text.partition("[")[2].partition("]")[0] or text
