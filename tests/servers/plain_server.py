"""A server in one file for any Python 3, without the standard library's larger half: it runs where `python3-minimal`
is all there is. Prints its port, then answers each request on a connection of its own."""

import selectors
import socket

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
