"""Prints how malloc is set up: where a second thread's block lies, and where one of a mebibyte does."""

import ctypes
import threading

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


def heap() -> range:
    """Return the addresses of the main arena."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.endswith("[heap]\n"):
                first, last = line.split()[0].split("-")
                return range(int(first, 16), int(last, 16))
    raise SystemExit("no heap")


def place(size: int) -> str:
    """Return where malloc puts a block of this size."""
    block = libc.malloc(size)
    return "heap" if block in heap() else "elsewhere"


def in_thread() -> None:
    """Allocate where another arena would be used."""
    print("thread", place(1_000))


thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
print("mebibyte", place(1 << 20))
