"""A server that parses a JSON tree of small objects for each request, and keeps one string of 200. It needs few modules: for a Python
that scripts/measure-musl has built.

/tree/N      the tree of this number
/cycles/N    the same, and each of its objects is in a cycle
other        nothing

Prints its port."""

import json
import selectors
import socket

KEPT = []
OBJECTS = 60_000


def tree(number):
    entries = [
        {
            "id": f"{number}-{i}",
            "tags": [f"tag {i % 97}", i * 1.5],
            "next": {"name": f"object {i}"},
        }
        for i in range(OBJECTS)
    ]
    return json.loads(json.dumps(entries))


def answer(path):
    kind, _, number = path.strip("/").partition("/")
    if kind in ("tree", "cycles"):
        entries = tree(int(number))
        KEPT.extend(entry["id"] for entry in entries[::200])
        if kind == "cycles":
            for entry in entries:
                entry["self"] = entry


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
        answer(connection.recv(65536).decode().split()[1])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
