"""Has a CPython process collect its garbage twice when it gets SIGRTMIN+7, and write to stderr what its pools hold free.

live/floor.py puts this directory into the path of a server. Until the signal comes it does nothing.
"""

import gc
import os
import signal
import sys


def tidy(*_: object) -> None:
    """The last line is the sign that it is done."""
    gc.collect()
    gc.collect()
    sys._debugmallocstats()
    # Celery has put something else in the place of sys.stderr.
    os.write(2, b"tidy pid=%d\n" % os.getpid())


signal.signal(signal.SIGRTMIN + 7, tidy)
