"""A server that answers its own clients, waits by the selector that it is told, and ends."""

import os
import selectors
import socket
import sys
import threading
import time

listener = socket.create_server(("127.0.0.1", 0))


def client() -> None:
    for _ in range(3):
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(b"q")
            assert connection.recv(1) == b"a"
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(b"q" * 100)
            assert connection.recv(1) == b"a"
    # The server comes to a wait in which nobody waits for it.
    time.sleep(0.5)
    print("6 answers", flush=True)
    os._exit(0)


threading.Thread(target=client, daemon=True).start()
selector = getattr(selectors, sys.argv[1])()
selector.register(listener, selectors.EVENT_READ)
while True:
    for _ in selector.select(1):
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"a")
        connection.close()
