"""A process that has just let go of much forks a child. Both check what lives, answer themselves requests and wait, the child first; the
child leaves what it was forked with, does the same work again, and gives back what that left. Its parent gives back all of it.

Each prints what it does when it has done it, in a line of its own that begins with its process id.
"""

import os
import sys

from trees import PLACES, Requests, Trees


def say(what):
    """In one write: there are two of them."""
    os.write(1, f"{os.getpid()} {what}\n".encode())


def work():
    """Leaves one tree of four hundred."""
    for place in range(PLACES):
        if trees.trees[place] is None:
            trees.build(place)
    for place in range(PLACES):
        if place % 400:
            trees.free(place)


trees = Trees()
work()
child = os.fork()
status = os.waitpid(child, 0)[1] if child else 0
requests = Requests()
for round in range(2):
    for _ in range(10):
        requests.wait()
    trees.verify()
    say(f"has waited {round}")
    work()
if child:
    say("ends")
    sys.exit(os.waitstatus_to_exitcode(status))
