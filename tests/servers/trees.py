"""Trees of objects of every size, by chance but the same in each run, with the checksums of all that live; and requests to oneself."""

import array
import marshal
import os
import random
import re
import select
import socket
import sys
import zlib

PLACES = 2000
POOL, HEADER = 16 << 10 if sys.version_info >= (3, 10) else 4 << 10, 48


class Requests:
    """A server and its client."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(self.listener.getsockname())
        self.server, _ = self.listener.accept()
        self.poll = select.poll()

    def wait(self):
        """One request and its answer; then the thread has nothing to do for a moment."""
        self.client.sendall(b"?")
        self.server.recv(1)
        self.server.sendall(b"!")
        self.client.recv(1)
        self.poll.poll(1)


def checksum(value):
    """Of all that is in it. Version 2 of the format knows nothing of reference counts."""
    return zlib.crc32(marshal.dumps(value, 2))


class Trees:
    """Some of the places have a tree. The checksums, and how many objects there are, are not where what they are of is."""

    def __init__(self, seed=7):
        self.chance = random.Random(seed)
        self.trees = [None] * PLACES
        self.sums, self.sizes = (
            array.array("L", [0] * PLACES),
            array.array("L", [0] * PLACES),
        )
        self.made = 0

    def tree(self, depth):
        """Lists of one item have a block of 16 bytes, strings and bytes any other size that there is."""
        chance = self.chance
        self.made += 1
        kind = chance.randrange(8 if depth else 4)
        if kind == 0:
            return chance.random()
        if kind == 1:
            length = chance.randrange(480)
            return (
                chance.getrandbits(8 * length).to_bytes(length, "little")
                if length
                else b""
            )
        if kind == 2:
            return "é" * chance.randrange(200)
        if kind == 3:
            return chance.getrandbits(chance.randrange(1, 900))
        branches = [self.tree(depth - 1) for _ in range(chance.randrange(1, 6))]
        if kind in (4, 5):
            return branches
        return tuple(branches) if kind == 6 else dict(enumerate(branches))

    def build(self, place):
        """How many objects that were."""
        self.made = 0
        self.trees[place] = value = self.tree(4)
        self.sums[place], self.sizes[place] = checksum(value), self.made
        return self.made

    def free(self, place):
        """How many objects that were."""
        self.trees[place] = None
        size, self.sizes[place] = self.sizes[place], 0
        return size

    def step(self, each):
        """Builds or frees trees, here and there or those that were built after one another: then pools become free."""
        chance = self.chance
        place, count = chance.randrange(PLACES), 0
        change, scattered = (
            chance.choice((self.build, self.free)),
            chance.random() < 0.3,
        )
        most = each * chance.choice((1, 1, 5, 50))
        for _ in range(PLACES):
            if (self.trees[place] is None) == (change == self.build):
                count += change(place)
            if count >= most:
                break
            place = chance.randrange(PLACES) if scattered else (place + 1) % PLACES
        return count

    def live(self):
        """How many there are."""
        return len([value for value in self.trees if value is not None])

    def verify(self):
        """Each is what it was, or this is the end."""
        for value, expected in zip(self.trees, self.sums):
            if value is not None and checksum(value) != expected:
                os.write(2, b"a tree is not what it was\n")
                os.abort()


def blocks_of_classes():
    """What _debugmallocstats says is in use of each class: {bytes of a block: blocks}."""
    file, stderr = os.memfd_create("statistics"), os.dup(2)
    os.dup2(file, 2)
    sys._debugmallocstats()
    os.dup2(stderr, 2)
    os.close(stderr)
    text = os.pread(file, 1 << 20, 0)
    os.close(file)
    classes = {}
    for line in re.findall(rb"^ *\d+ +(\d+) +(\d+) +(\d+) +(\d+)$", text, re.MULTILINE):
        size, pools, used, free = map(int, line)
        if used + free != pools * ((POOL - HEADER) // size):
            sys.exit(f"{pools} pools of blocks of {size} bytes hold no {used} + {free}")
        classes[size] = used
    return classes
