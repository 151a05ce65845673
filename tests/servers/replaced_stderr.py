"""A server that gives descriptor 2 away before it serves: `replaced_stderr.py HOW FILE REQUESTS`.

HOW is one of
- reopened: 2 is closed and FILE is opened in its place
- duplicated: FILE is put over 2 with dup2, as daemons do
- connection: 2 is closed, so that the accepted connection gets the number
- closed: 2 stays closed; a lower number is free for the connection
- kept: 2 stays what it was (the comparison)

It answers so many requests, one connection each, appends `served` to FILE for each, and waits in poll before each
accept, as event loops do.
"""

import os
import select
import sys

import tiny


def replace(how, path):
    """Give descriptor 2 to something else; the descriptor through which FILE is written."""
    if how == "reopened":
        os.close(2)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if how == "reopened":
        assert file == 2
    if how == "duplicated":
        os.dup2(file, 2)
    if how in ("connection", "closed"):
        os.close(2)
    if how == "closed":
        os.close(0)  # the lowest free number: the connection gets 0 and leaves 2 alone
    return file


def main():
    """Open the listener while descriptor 2 is still taken, so that the listener does not get its number."""
    how, path, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
    listener = tiny.listen()
    file = replace(how, path)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    for _ in range(requests):
        poll.poll()
        connection, _ = listener.accept()
        assert connection.fileno() == {"connection": 2, "closed": 0}.get(
            how, connection.fileno()
        )
        with connection:
            tiny.answer(connection)
        os.write(file, b"served\n")
    poll.poll(500)


if __name__ == "__main__":
    main()
