"""Work whose memory becomes free at a moment at which no request is answered. The first argument says which:

serve: HTTP. /after answers and works for three seconds then; /slow works before it answers; /ok does nothing. With `start` as well,
       what its start has left free is there, too.
push: whoever connects is sent something again and again, and says nothing.
receive: lines come, and nothing is ever answered.
tasks HOW PORT: makes a connection and fetches its tasks from there: in `recv`, or in `poll` before it.
pipe HOW: a forked child reads its tasks from a pipe; with `once` one comes at once, and no other.

Each prints a port first (`tasks` and `pipe`: 0), and afterwards each amount of memory that it has just let go of, in MiB.
"""

import asyncio
import os
import select
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PINS = []
MIB = 200


def work(seconds=0.0, quiet=False, size=2000):
    """Holds memory for a while; a few of its blocks stay, and keep the heap apart."""
    blocks = [b"x" * size for _ in range(MIB * 500)]
    time.sleep(seconds)
    PINS.append(blocks[::2000])
    del blocks
    if not quiet:
        print(MIB, flush=True)


class Handler(BaseHTTPRequestHandler):
    """See above."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing."""

    def do_GET(self):
        """One request."""
        if self.path == "/after":
            threading.Thread(target=work, args=(3,)).start()
        elif self.path == "/slow":
            work(6)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 256


def serve(*garbage):
    """HTTP."""
    if garbage:
        work(quiet=True)
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


async def listen(handle):
    """A server of asyncio."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def push(_reader, writer):
    """Sends only."""
    for _ in range(6):
        work()
        writer.write(b"news\n")
        await writer.drain()
        await asyncio.sleep(0.5)
    await asyncio.sleep(3600)


async def receive(reader, _writer):
    """Receives only."""
    while await reader.readline():
        work()


def begin():
    """Waits a little, again and again, as programs do while they start."""
    for _ in range(40):
        select.select([], [], [], 0.001)


def tasks(how, port):
    """Fetches tasks; between two of them it is old enough to be looked at."""
    print(0, flush=True)
    begin()
    with socket.create_connection(("127.0.0.1", int(port))) as source:
        poller = select.poll()
        poller.register(source, select.POLLIN)
        while True:
            if how == "poll":
                poller.poll()
            if not source.recv(1):
                return
            work()


def pipe(how):
    """The child of a pool."""
    end, start = os.pipe()
    if os.fork() == 0:
        os.close(start)
        begin()
        while os.read(end, 1):
            work()
        os._exit(0)
    os.close(end)
    print(0, flush=True)
    for _ in range(1 if how == "once" else 3):
        time.sleep(0 if how == "once" else 6)
        os.write(start, b"t")
    time.sleep(3600)


KIND, *ARGUMENTS = sys.argv[1:]
if KIND in ("push", "receive"):
    asyncio.run(listen({"push": push, "receive": receive}[KIND]))
else:
    {"serve": serve, "tasks": tasks, "pipe": pipe}[KIND](*ARGUMENTS)
