"""An application whose memory grows in different ways: for gunicorn (`growing:wsgi`). Every path answers a few bytes.

path        what a request does
/flat       nothing that stays
/leak       keeps 20 kB for good
/small      keeps 200 bytes for good, in CPython's own pools
/large      keeps 4 MB for good
/fragment   frees 4 MB that only malloc_trim gives back, and keeps no more than the request before it did
/cycles     drops a reference cycle with 20 kB, old enough that only a full collection finds it
/aged       the same, grown old at once, and has no full collection come any more
/lru        keeps 2 kB in a functools.lru_cache that 20,000 requests fill: 40 MB
/cache      keeps 20 kB in a cache that holds 1,500 of them, and then drops the oldest: 30 MB
/warm       keeps 10 kB for each of 3,000 keys, one of which is drawn at random: fast at first, then slower and slower
/batch      keeps 20 kB a request, and every 500 requests drops all of it
"""

import collections
import gc
import itertools
import os
import random
from functools import cache as memoised
from functools import lru_cache

LEAKED = []
SURVIVORS = []
YOUNG = collections.deque()
CACHE = collections.OrderedDict()
BATCH = []
NUMBERS = itertools.count()
RANDOM = random.Random(7)


def kilobytes(number):
    """Memory that malloc serves: CPython keeps up to 512 bytes in arenas of its own."""
    return [os.urandom(1000) for _ in range(number)]


class Node:
    """One that refers to itself."""

    def __init__(self):
        self.itself = self
        self.data = kilobytes(20)


def leak():
    """Keep 20 kB."""
    LEAKED.append(kilobytes(20))


def small():
    """Keep 200 bytes."""
    LEAKED.append(os.urandom(167))


def large():
    """Keep 4 MB."""
    LEAKED.append(b"1" * (4 << 20))


def fragment():
    """Free 4 MB between blocks that stay until the next such request."""
    blocks = [bytes(1000) for _ in range(4_000)]
    SURVIVORS[:] = blocks[::256] + blocks[-1:]


def both():
    """A little of each."""
    LEAKED.append(kilobytes(2))
    blocks = [bytes(1000) for _ in range(2_000)]
    SURVIVORS[:] = blocks[::256] + blocks[-1:]


def cycles():
    """Drop the cycle that was made 200 requests ago."""
    YOUNG.append(Node())
    if len(YOUNG) > 200:
        YOUNG.popleft()


def aged():
    """The same; CPython moves it to its oldest generation soon, and does not look there."""
    gc.set_threshold(50, 2, 1_000_000)
    cycles()


def cache():
    """Fill a bounded cache."""
    CACHE[next(NUMBERS)] = kilobytes(20)
    if len(CACHE) > 1_500:
        CACHE.popitem(last=False)


@lru_cache(maxsize=20_000)
def entry(number):
    """What is computed anew for each request."""
    return number, kilobytes(2)


def lru():
    """Fill a bounded cache with what nobody asks for again."""
    entry(next(NUMBERS))


@memoised
def page(key):
    """What is computed once for each key."""
    return key, kilobytes(10)


def warm():
    """Ask for one page of 3,000."""
    page(RANDOM.randrange(3_000))


def batch():
    """Collect 500 requests, then let all of them go."""
    BATCH.append(kilobytes(20))
    if len(BATCH) >= 500:
        BATCH.clear()


BEHAVIOURS = {
    "/flat": lambda: None,
    "/leak": leak,
    "/small": small,
    "/large": large,
    "/fragment": fragment,
    "/both": both,
    "/cycles": cycles,
    "/aged": aged,
    "/lru": lru,
    "/cache": cache,
    "/warm": warm,
    "/batch": batch,
}


def wsgi(environ, start_response):
    """The application."""
    BEHAVIOURS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
