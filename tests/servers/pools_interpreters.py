"""A second interpreter, from Python 3.12 on one with a lock of its own, builds and frees trees on another thread all the time, while the
main one does so and waits. Prints how many steps each has done, which is not the same in each run."""

import os
import sys
import threading
import zlib

from trees import Requests, Trees

try:
    import _interpreters as interpreters

    create, run = lambda: interpreters.create("isolated"), interpreters.run_string
except ImportError:
    import _xxsubinterpreters as interpreters

    create, run = interpreters.create, interpreters.run_string

# Who has to wait for the other's lock is slow.
STEPS = 400 if sys.version_info >= (3, 12) else 100
folder = os.path.dirname(os.path.abspath(__file__))
reads, writes = os.pipe()
# Where the other one has failed, there is nothing to wait for.
os.set_blocking(reads, False)
done, ends = os.pipe()
other = create()
PROGRAM = f"""
import os, sys
sys.path.insert(0, {folder!r})
from trees import Trees
trees, steps = Trees(8), 0
os.set_blocking({done}, False)
while True:
    trees.step(100)
    steps += 1
    if steps % 20 == 0:
        trees.verify()
        try:
            os.read({done}, 1)
            break
        except BlockingIOError:
            pass
os.write({writes}, b"%d\\n" % steps)
"""
thread = threading.Thread(target=run, args=(other, PROGRAM))
thread.start()
requests, trees = Requests(), Trees()
for step in range(STEPS):
    trees.step(100)
    requests.wait()
    if step % 20 == 0:
        trees.verify()
os.write(ends, b".")
thread.join()
trees.verify()
print(STEPS, os.read(reads, 100).decode().strip(), zlib.crc32(trees.sums.tobytes()))
