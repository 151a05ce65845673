"""What the small servers of the tests share: one thread, one listener, answers that a client can check byte for byte."""

import socket

import heap


def listen():
    """Open a listener on this machine and print its port, for the test to read."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    return listener


def answer(connection):
    """Read one request and answer it with its path; the path, or nothing when the client has gone.

    `/fragment` and `/maze` do what they do in app.py.
    """
    request = connection.recv(65536)
    if not request:
        return None
    path = request.split()[1]
    if path == b"/fragment":
        heap.fragment()
    if path == b"/maze":
        heap.maze(40.0)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)
    )
    return path


def serve_one(listener):
    """Accept a connection, answer one request on it and close it; the path."""
    connection, _ = listener.accept()
    with connection:
        return answer(connection)
