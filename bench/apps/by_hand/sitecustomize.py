"""Has a CPython process do by hand what can be done: bench/cpython.py puts this into its path.

On SIGRTMIN+7 it collects garbage twice, trims malloc, and writes to stderr what its pools hold free.
"""

import ctypes
import gc
import os
import signal
import sys

libc = ctypes.CDLL(None)


def tidy(*_: object) -> None:
    """Give back what can be; the last line of the statistics is the sign that it is done."""
    gc.collect()
    gc.collect()
    libc.malloc_trim(0)
    sys._debugmallocstats()
    # Celery has put something else in the place of sys.stderr.
    os.write(2, b"tidy\n")


signal.signal(signal.SIGRTMIN + 7, tidy)
