"""Cyclic garbage of several kinds, and how often CPython collected it."""

import gc
import os
import select
import socket
import time
from urllib.parse import parse_qs

# Kept to the end: what finalizers did.
finalized = []
collections = 0
# Something to walk for a collection.
ballast = []
# Seconds that each full collection takes longer.
pause = 0


class Holder:
    """Refers to itself, and so keeps something alive until it is collected."""

    def __init__(self, content):
        self.content = content
        self.itself = self


class Finalizer(Holder):
    """Calls a function when it is collected."""

    def __del__(self):
        finalized.append(self.content())


def watch():
    """Have CPython never make a full collection by itself, and count those that others ask for."""
    if count not in gc.callbacks:
        gc.set_threshold(1_000_000, 1_000, 1_000)
        gc.callbacks.append(count)


def count(phase, details):
    """Count full collections, and mark the beginning of each where that is asked for."""
    global collections
    if phase == "start" and details["generation"] == 2:
        collections += 1
        time.sleep(pause)
        for marker in markers:
            with open(marker, "w", encoding="ascii"):
                pass


markers = []


def leave(_):
    """1 MB in a cycle, in blocks of malloc."""
    watch()
    Holder([bytes(2_000) for _ in range(512)])
    return b"left\n"


def wait():
    """Sleep, and wait in each of the calls that trims happen in."""
    one, other = socket.socketpair()
    with one, other, select.epoll() as epoll:
        poll = select.poll()
        epoll.register(one, select.EPOLLIN)
        poll.register(one, select.POLLIN)
        time.sleep(0.01)
        quiet = [epoll.poll(0.01), poll.poll(10), select.select([one], [], [], 0.01)[0]]
        other.send(b"hello")
        return (
            quiet == [[], [], []]
            and select.select([one], [], [])[0] == [one]
            and one.recv(5) == b"hello"
        )


def fork():
    """Fork a child that waits, collects for itself and ends."""
    child = os.fork()
    if child == 0:
        select.select([], [], [], 0.05)
        gc.collect()
        wait()
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def leave_finalizer(query):
    """Garbage that waits, or forks, when it is collected."""
    watch()
    Finalizer({"wait": wait, "fork": fork}[parse_qs(query)["does"][0]])
    return b"left\n"


def disable(_):
    """As programs do that know what they are doing."""
    watch()
    gc.disable()
    return b"disabled\n"


def slow(_):
    """Make full collections expensive."""
    global pause
    watch()
    pause = 0.15
    return b"slow\n"


def fill(query):
    """So much to walk that a collection takes a while; it makes the file `mark` when it begins."""
    watch()
    markers.extend(parse_qs(query)["mark"])
    ballast.extend([] for _ in range(4_000_000))
    began = time.monotonic()
    gc.collect(1)
    return b"%d\n" % (1_000 * (time.monotonic() - began))


def tell(_):
    """Full collections, and what finalizers found; separated by blanks."""
    return b"%d %d %d\n" % (collections, finalized.count(True), len(finalized))


PATHS = {
    "/garbage": leave,
    "/garbage/finalizer": leave_finalizer,
    "/garbage/disable": disable,
    "/garbage/slow": slow,
    "/garbage/fill": fill,
    "/garbage/tell": tell,
}
