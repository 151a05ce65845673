"""Heaps that glibc's malloc does not give back by itself: what the tests need of a server's memory."""

import ctypes
import time

# CPython keeps blocks of up to 512 bytes in arenas of its own: only larger ones reach malloc.
BLOCK = 1000
FRAGMENT_BYTES = 64 * 1024 * 1024

# A hole and the wall behind it fill two pages: each freed hole is a free chunk that holds one whole page, and every
# malloc_trim makes one madvise call for each such chunk, though the first has released it already.
MAZE_HOLE = 8192 - 32 - 8
MAZE_WALL = 24
MAZE_STEP = 40_000
MAZE_LARGEST = 400_000

_survivors = []


def fragment():
    """Allocate 64 MB in blocks of 1 KB and free them, but for one in 256 and the last; the blocks freed.

    The last block keeps the top of the heap where it is, so that free() alone gives nothing back.
    """
    _survivors.clear()
    blocks = [bytes(BLOCK) for _ in range(FRAGMENT_BYTES // BLOCK)]
    _survivors.extend(blocks[::256])
    _survivors.append(blocks[-1])
    return len(blocks) - len(_survivors)


def maze(milliseconds):
    """Grow a heap of holes until one malloc_trim of it takes so long, even with nothing left to release.

    Returns the milliseconds of the quickest of three trims. Python's own allocations take a hole now and then; the
    walls stay for good.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    took = 0.0
    for holes in range(MAZE_STEP, MAZE_LARGEST + 1, MAZE_STEP):
        # The holes of the earlier steps are filled again, the last MAZE_STEP ones are new.
        taken = []
        for _ in range(holes):
            taken.append(libc.malloc(MAZE_HOLE))
            if len(taken) > holes - MAZE_STEP:
                libc.malloc(MAZE_WALL)
        for hole in taken:
            libc.free(hole)
        took = min(_trim_milliseconds(libc) for _ in range(3))
        if took >= milliseconds:
            break
    return took


def _trim_milliseconds(libc):
    start = time.perf_counter()
    libc.malloc_trim(0)
    return (time.perf_counter() - start) * 1000
