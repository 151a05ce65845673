"""Builds and frees trees as pools.py does, while others look at its memory: tracemalloc keeps the traceback of each block, faulthandler writes
tracebacks from a signal handler, and all that can be written is read as crash reporters and debuggers read it.

pools_observed.py OPERATIONS EACH. What it prints is the same in each run.
"""

import faulthandler
import gc
import os
import signal
import sys
import tracemalloc

from trees import Requests, Trees

operations, each = map(int, sys.argv[1:])
tracemalloc.start()
tracebacks = os.memfd_create("tracebacks")
faulthandler.register(signal.SIGUSR1, tracebacks)
piece = bytearray(1 << 20)


def read_all():
    """How many bytes of the process were read."""
    read = 0
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    with open("/proc/self/maps") as maps:
        for line in maps:
            place, modes, *_ = line.split()
            begin, end = (int(address, 16) for address in place.split("-"))
            while modes.startswith("rw") and begin < end:
                read += os.preadv(memory, [piece], begin)
                begin += len(piece)
    os.close(memory)
    return read


def of_trees():
    """How many blocks tracemalloc knows of the trees."""
    # What is free in lists of CPython's own is traced, too.
    gc.collect()
    ours = tracemalloc.Filter(True, "*/trees.py")
    return len(tracemalloc.take_snapshot().filter_traces([ours]).traces)


requests, trees = Requests(), Trees()
done = steps = 0
while done < operations:
    done += trees.step(each)
    steps += 1
    requests.wait()
    if steps % 50 == 0:
        trees.verify()
        signal.raise_signal(signal.SIGUSR1)
        if read_all() < 1 << 20:
            sys.exit("nothing was read")
        print(steps, done, trees.live(), "grown", of_trees())
if os.pread(tracebacks, 1 << 20, 0).count(b"pools_observed.py") < steps // 50:
    sys.exit("faulthandler told less than it was asked for")
print("verified")
