"""Writes to a FIFO without end, as fast as it takes them: `floods.py PATH`."""

import os
import sys

descriptor = os.open(sys.argv[1], os.O_WRONLY)
while True:
    os.write(descriptor, b"x" * 4096)
