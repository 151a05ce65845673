"""Work that lets go of all that it took, in a process that serves no connection: what the tests of task workers give them.

`jobs.py HOW` prints the anonymous RSS in MiB afterwards; HOW is `blocks`, `large_blocks`, `pool` (of its idle processes the largest)
or `command`, a management command of Django's.
"""

import multiprocessing
import sys
import time


def anonymous_mib() -> int:
    """Return this process's anonymous RSS."""
    with open("/proc/self/status") as status:
        return next(
            int(line.split()[1]) // 1024 for line in status if "RssAnon" in line
        )


def blocks(_: object = None) -> int:
    """Read lists of about 55 MB, of blocks of one size each; what is left."""
    for size, count in [(1_000, 55_000), (4_000, 14_000), (16_000, 3_500)]:
        rows = [bytes(size) for _ in range(count)]
        del rows
    return anonymous_mib()


def large_blocks() -> int:
    """Hold 20 blocks of 20 MB for a moment, and small ones that were made after them; what is left."""
    large = [bytearray(20_000_000) for _ in range(20)]
    small = [bytes(600) for _ in range(1_000)]
    del large
    left = anonymous_mib()
    del small
    return left


def pool() -> int:
    """Have a pool's processes work; what the largest of them has when all are idle."""
    with multiprocessing.get_context("fork").Pool(4) as workers:
        workers.map(blocks, range(16), chunksize=1)
        time.sleep(1)
        return max(workers.map(left_when_idle, range(16), chunksize=1))


def left_when_idle(_: int) -> int:
    """Return what this process has."""
    time.sleep(0.05)
    return anonymous_mib()


def command() -> int:
    """Call a management command that works on rows; what is left in its process."""
    import django
    from django.conf import settings
    from django.core.management import BaseCommand, call_command

    settings.configure()
    django.setup()

    class Import(BaseCommand):
        """Takes rows in, and keeps none."""

        def handle(self, *_: object, **__: object) -> None:
            blocks()

    call_command(Import())
    return anonymous_mib()


if __name__ == "__main__":
    print(globals()[sys.argv[1]]())
