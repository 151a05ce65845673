"""Serves in a second thread, as Django's runserver does, while the first one only sleeps. Prints its port."""

import socket
import threading
import time


def serve(listener):
    """Answer each request on a connection of its own."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
threading.Thread(target=serve, args=(server,), daemon=True).start()
while True:
    time.sleep(0.1)
