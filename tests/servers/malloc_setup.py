"""Prints how malloc is set up: `malloc_setup.py HOW`. How many arenas many threads share, and the thresholds: `low` where a block
of a mebibyte is mapped apart, `middle` where 12 MiB at the top of the heap are given back at once, `raised` where 20 MiB are, else `high`.

HOW is one of
- start: right away
- listen: after it has begun to listen
- serve: after it has answered a request and waited
- serve_beside_a_thread: the same, but another thread was there before
- thread_comes_later: after one has come, another request and a trim
- buffers: beside a thread, after requests that each use 10 MiB again and again
- child_waits, child_reads: in a forked child of a process that has served, after such a call
- child_serves: the same, after it has answered a request itself
- filter: after it has served and installed a filter of system calls
- own: in a process that serves and has set up malloc itself
"""

import ctypes
import os
import select
import socket
import sys
import threading
import time

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.restype = None
libc.free.argtypes = [ctypes.c_void_p]

THREADS = 32
# Each heap of an arena but the first is aligned to its largest size (glibc malloc/arena.c, HEAP_MAX_SIZE).
HEAP_SHIFT = 26
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def main_heap() -> range:
    """Return the addresses of the main arena."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.endswith("[heap]\n"):
                first, last = line.split()[0].split("-")
                return range(int(first, 16), int(last, 16))
    raise SystemExit("no heap")


def arenas() -> int:
    """Return how many arenas serve threads that are all there at once."""
    blocks = []
    meet = threading.Barrier(THREADS)

    def allocate() -> None:
        meet.wait()
        blocks.append(libc.malloc(1_000))
        meet.wait()

    threads = [threading.Thread(target=allocate) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heap = main_heap()
    return len({0 if block in heap else block >> HEAP_SHIFT for block in blocks})


def thresholds() -> str:
    """Return which they are."""
    if libc.malloc(1 << 20) not in main_heap():
        return "low"
    for megabytes, name in ((12, "middle"), (20, "raised")):
        block = libc.malloc(megabytes << 20)
        before = len(main_heap())
        libc.free(block)
        if len(main_heap()) != before:
            return name
    return "high"


def use_buffers(listener: socket.socket) -> None:
    """Use half a minute of CPU time at most, in bits with a request and a trim between them."""
    while time.process_time() < 30:
        for _ in range(50):
            block = libc.malloc(10 << 20)
            ctypes.memset(block, 1, 10 << 20)
            libc.free(block)
        serve(listener)
        if thresholds() != "middle":
            break


def tell() -> None:
    """Print what is asked for."""
    print(arenas(), thresholds(), flush=True)


def serve(listener: socket.socket) -> None:
    """Answer one request of our own, and wait."""
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.recv(65536)
    select.select([], [], [], 0.01)


def install_filter() -> None:
    """Allow every system call."""
    allow = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(1, ctypes.addressof(allow))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SystemExit("no_new_privs")
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    if libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(program), 0, 0) != 0:
        raise SystemExit("seccomp")


def in_child(how: str, listener: socket.socket) -> None:
    """Tell it from a child."""
    ours, childs = os.pipe()
    os.write(childs, b"task")
    child = os.fork()
    if child == 0:
        if how == "child_reads":
            os.read(ours, 4)
        elif how == "child_serves":
            serve(listener)
        else:
            select.select([], [], [], 0.01)
        tell()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("the child failed")


def main() -> None:
    """Do what HOW says."""
    how = sys.argv[1]
    if how == "start":
        return tell()
    if how == "own":
        libc.mallopt(M_MMAP_THRESHOLD, 256 * 1024)
        libc.mallopt(M_ARENA_MAX, 7)
    if how in ("serve_beside_a_thread", "buffers"):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    if how != "listen":
        serve(listener)
    if how == "thread_comes_later":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        serve(listener)
    if how == "buffers":
        use_buffers(listener)
    if how == "filter":
        install_filter()
    if how.startswith("child"):
        return in_child(how, listener)
    return tell()


main()
