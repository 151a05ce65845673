"""A process that serves nothing: `worker.py HOW`. It leaves garbage in its heap, prints 0 where servers print their port, and
works until it is ended.

HOW is one of
- wait: in one select after the other
- forked: the same, after it has forked once
- compute: in short waits for six seconds, and then no more; it only computes
"""

import os
import select
import sys

import heap


def wait():
    """Wait for ever."""
    while True:
        select.select([], [], [], 60)


def forked():
    """Fork, and wait for ever."""
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    wait()


def compute():
    """Compute for ever, after six seconds in short waits."""
    for _ in range(60):
        select.select([], [], [], 0.1)
    heap.fragment()
    print("computing", flush=True)
    number = 1
    while True:
        number = number * 16807 % 2147483647


def main():
    """Work."""
    heap.fragment()
    print(0, flush=True)
    {"wait": wait, "forked": forked, "compute": compute}[sys.argv[1]]()


if __name__ == "__main__":
    main()
