"""A server whose main thread waits without an end in one kind of call, while signals come: each must run its handler at once.

`signalled.py PORT epoll|poll|select|read`. `/garbage` leaves some megabytes in a cycle; `/tell` how many signals came, how many of them
were seen too late, and how many full collections there were. Prints its port.
"""

import gc
import os
import select
import signal
import socket
import sys
import threading
import time

# Seconds: much more than a collection takes, much less than until the next event.
SOON = 5

handled = collections = sent = late = 0


def handle(*_):
    """Count a signal."""
    global handled
    handled += 1


def count(phase, details):
    """Count full collections."""
    global collections
    collections += phase == "stop" and details["generation"] == 2


def send():
    """Send a signal to the main thread when the last one was handled."""
    global sent, late
    while True:
        sent += 1
        expected = handled + 1
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        end = time.monotonic() + SOON
        while handled < expected:
            time.sleep(0.0005)
            if time.monotonic() > end:
                late += 1
                break
        time.sleep(0.001 * (sent % 5))


class Epoll:
    """Waits in epoll."""

    def __init__(self, file):
        self.epoll = select.epoll()
        self.epoll.register(file, select.EPOLLIN)

    def wait(self):
        """Return what is ready."""
        return self.epoll.poll()


class Poll:
    """Waits in poll."""

    def __init__(self, file):
        self.poll = select.poll()
        self.poll.register(file, select.POLLIN)

    def wait(self):
        """Return what is ready."""
        return self.poll.poll()


class Select:
    """Waits in select."""

    def __init__(self, file):
        self.file = file

    def wait(self):
        """Return what is ready."""
        return select.select([self.file], [], [])[0]


class Read:
    """Waits for the next request on the same connection."""

    def __init__(self, file):
        self.file = file

    def wait(self):
        """Return what tells that a connection may be there."""
        return [self.file]

    @staticmethod
    def receive(client, size):
        """Return what was read."""
        return os.read(client.fileno(), size)


def answer(path):
    """Return the body."""
    if path == "/garbage":
        cycle = [[[i] for i in range(60_000)]]
        cycle.append(cycle)
        return b"left"
    return b"%d %d %d" % (sent, late, collections)


def main():
    """Serve one connection a request, or as many as come on it."""
    signal.signal(signal.SIGUSR1, handle)
    gc.set_threshold(1_000_000, 1_000, 1_000)
    gc.callbacks.append(count)
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(listener.getsockname()[1], flush=True)
    kinds = {kind.__name__.lower(): kind for kind in (Epoll, Poll, Select, Read)}
    waits = kinds[sys.argv[2]](listener)
    receive = getattr(waits, "receive", None)
    threading.Thread(target=send, daemon=True).start()
    while True:
        # Nothing but a connection ends it.
        if not waits.wait():
            os._exit(3)
        client, _ = listener.accept()
        with client:
            request = client.recv(4096)
            while request:
                body = answer(request.split(b" ")[1].decode())
                client.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
                request = receive and receive(client, 4096)


main()
