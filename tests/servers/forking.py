"""A server that forks while it serves: `forking.py HOW`.

HOW is one of
- between: the parent answers two requests, a child three, then the parent two more
- connection: the parent accepts a connection and a forked child answers all requests on it, as PostgreSQL does
"""

import os
import select
import sys

import tiny


def serve_some(listener, requests):
    """Answer so many requests, with a wait before and after each."""
    for _ in range(requests):
        select.select([listener], [], [])
        tiny.serve_one(listener)
    select.select([listener], [], [], 0.01)


def in_child(work, *arguments):
    """Run `work` in a forked child and wait for its end."""
    child = os.fork()
    if child == 0:
        work(*arguments)
        os._exit(0)
    os.waitpid(child, 0)


def serve_connection(connection):
    """Answer until the client leaves."""
    while tiny.answer(connection):
        pass


def main():
    """Serve and end."""
    listener = tiny.listen()
    if sys.argv[1] == "between":
        serve_some(listener, 2)
        in_child(serve_some, listener, 3)
        serve_some(listener, 2)
    else:
        connection, _ = listener.accept()
        with connection:
            in_child(serve_connection, connection)
        select.select([listener], [], [], 0.01)


if __name__ == "__main__":
    main()
