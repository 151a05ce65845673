"""A server that waits for its clients in one call: `waiting.py HOW`, HOW = select, poll, epoll, accept or recv.

Each call but the last two is made without a timeout and has to bring something. `/timed/…` is answered and followed by
one such call of 1.5 s; what that call lasted is printed. `recv` serves one connection and waits for each request there.

SIGTERM ends the server by an exception from its handler: Python runs the handler only when the call that waits comes
back with EINTR, so a call that swallows the signal goes on waiting.
"""

import select
import signal
import sys
import time

import tiny

TIMED_WAIT = 1.5


def waiter(how, listener):
    """A function that waits for the listener, for so many seconds or for ever; what the call brought."""
    if how == "select":
        return lambda seconds: select.select([listener], [], [], seconds)[0]
    if how == "poll":
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        return lambda seconds: poll.poll(seconds and seconds * 1000)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    return lambda seconds: epoll.poll(seconds)


def serve_with(wait, listener):
    """Wait, accept and answer; for ever."""
    while True:
        if not wait(None):
            sys.exit("a wait without a timeout came back with nothing")
        path = tiny.serve_one(listener)
        if path and path.startswith(b"/timed"):
            start = time.monotonic()
            brought = wait(TIMED_WAIT)
            print(f"{time.monotonic() - start:.3f} {len(brought)}", flush=True)


def terminate(_signal, _frame):
    """Leave whatever the program is in."""
    sys.exit(0)


def main():
    """Serve until SIGTERM."""
    how = sys.argv[1]
    signal.signal(signal.SIGTERM, terminate)
    listener = tiny.listen()
    if how == "accept":
        while True:
            tiny.serve_one(listener)
    if how == "recv":
        connection, _ = listener.accept()
        while tiny.answer(connection):
            pass
    serve_with(waiter(how, listener), listener)


if __name__ == "__main__":
    main()
