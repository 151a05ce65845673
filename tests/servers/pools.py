"""Builds and frees trees at random; after each step it answers itself a request, and waits.

pools.py OPERATIONS EACH: so many objects are made or freed, EACH of them and up to 50 times as many between two waits. What it prints is
the same in each run: the checksums of all that lives, and what CPython's own statistics say of its blocks.
"""

import sys
import zlib

from trees import Requests, Trees, blocks_of_classes

operations, each = map(int, sys.argv[1:])
requests, trees = Requests(), Trees()


def grown():
    """How many blocks there are more of each class than after the first steps, and how many more there are at all."""
    now = blocks_of_classes()
    more = [now.get(size, 0) - classes.get(size, 0) for size in range(16, 513, 16)]
    return *more, sys.getallocatedblocks() - blocks


blocks = classes = None
done = steps = 0
while done < operations:
    done += trees.step(each)
    steps += 1
    requests.wait()
    if steps % 50 == 0:
        trees.verify()
        if classes is None:
            # What is made at its first use is there, and not the same in each run.
            blocks_of_classes()
            blocks, classes = sys.getallocatedblocks(), blocks_of_classes()
        print(steps, done, trees.live(), "grown", *grown())
trees.verify()
print(len(blocks_of_classes()), "classes, verified", zlib.crc32(trees.sums.tobytes()))
