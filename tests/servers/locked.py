"""A server that has all its memory locked, as those do whose answers must never wait for a disk. Prints its port."""

import ctypes
import selectors
import socket

MCL_CURRENT, MCL_FUTURE = 1, 2

if ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
    raise SystemExit("mlockall")
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
ready = selectors.DefaultSelector()
ready.register(listener, selectors.EVENT_READ)
print(listener.getsockname()[1], flush=True)
while True:
    ready.select()
    connection, _ = listener.accept()
    with connection:
        connection.setblocking(True)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
