"""A worker with one thread that gets its tasks from a connection to PORT, each a byte, parses a JSON tree for each, keeps one string of 200,
and waits for the next task as long as it takes: `tree_tasks.py PORT [fork]`. Prints 0 first, then what it has kept, after each. With
`fork` the worker is a child that C code has made, without the interpreter lock, and C code waits there.
"""

import ctypes
import os
import socket
import sys

import json_tree

c = ctypes.CDLL(None)
is_forked = "fork" in sys.argv
if is_forked and c.fork():
    os.wait()
    sys.exit()
source = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
task = ctypes.create_string_buffer(1)
print(0, flush=True)
while c.recv(source.fileno(), task, 1, 0) == 1 if is_forked else source.recv(1):
    json_tree.application({"PATH_INFO": f"/{len(json_tree.KEPT)}"}, lambda *_: None)
    print(len(json_tree.KEPT), flush=True)
