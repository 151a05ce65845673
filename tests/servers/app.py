"""The application behind the tests: the same paths as WSGI (`app:wsgi`) and as ASGI (`app:asgi`).

path        answer
/small      a few bytes
/big        5 MiB with a Content-Length
/upload     the length of the request body; a body cut short drops the connection without an answer
/chunked    a body in pieces and no Content-Length, so the server chunks it
/file       this file; through wsgi.file_wrapper, which means sendfile, where there is one
/pid        the process that answers
/fragment   frees 64 MB that only malloc_trim gives back (heap.py)
/maze       makes a heap on which one malloc_trim takes long, answers with the milliseconds (heap.py)
/garbage    leaves 1 MB of cyclic garbage in a process that never collects it by itself; more of that in garbage.py
/objects    a thousand small objects as JSON, some of them cyclic garbage afterwards (objects.py)
/500        raises
other       404

?marker=PATH creates that file: the caller then knows that the request is in the handler. ?until=PATH waits before answering
until that file is there, ?seconds=S so long.
"""

import asyncio
import errno
import os
import time
from urllib.parse import parse_qs

import garbage
import heap
import objects

BIG = bytes(range(256)) * (5 * 1024 * 4)
PIECES = [b"first ", b"second " * 1000, b"third\n"]


class CutShort(ConnectionResetError):
    """The client left in the middle of its request body: servers drop the connection on this error."""

    def __init__(self):
        super().__init__(errno.ECONNRESET, "request body cut short")


def waits(query):
    """Create the marker file if one was asked for; the seconds to wait before answering, one wait after the other."""
    values = parse_qs(query)
    for marker in values.get("marker", []):
        with open(marker, "w", encoding="ascii"):
            pass
    for until in values.get("until", []):
        # Not for ever: its test may have failed.
        end = time.monotonic() + 300
        while not os.path.exists(until) and time.monotonic() < end:
            yield 0.02
    for seconds in values.get("seconds", []):
        yield float(seconds)


def respond(path, body_length, query=""):
    """(status, body as a list of pieces, whether the length is announced) for one path."""
    if path == "/500":
        raise RuntimeError("asked for by the test")
    if path == "/chunked":
        return "200 OK", PIECES, False
    answers = {
        "/file": own_source,
        "/small": lambda: b"hello\n",
        "/big": lambda: BIG,
        "/upload": lambda: b"%d\n" % body_length,
        "/pid": lambda: b"%d\n" % os.getpid(),
        "/fragment": lambda: b"%d\n" % heap.fragment(),
        "/objects": objects.answer,
        "/maze": lambda: b"%.1f\n" % heap.maze(75.0),
    }
    if path in garbage.PATHS:
        return "200 OK", [garbage.PATHS[path](query)], True
    if path not in answers:
        return "404 Not Found", [b"no such path\n"], True
    return "200 OK", [answers[path]()], True


def own_source():
    """The bytes of this file."""
    with open(__file__, "rb") as file:
        return file.read()


def headers_for(pieces, announced):
    """The response headers as pairs of text."""
    headers = [("Content-Type", "application/octet-stream")]
    if announced:
        headers.append(("Content-Length", str(sum(map(len, pieces)))))
    return headers


def wsgi(environ, start_response):
    """The application for the sync, gthread and gevent workers."""
    expected = int(environ.get("CONTENT_LENGTH") or 0)
    length = 0
    while length < expected:
        piece = environ["wsgi.input"].read(min(65536, expected - length))
        if not piece:
            raise CutShort
        length += len(piece)
    for seconds in waits(environ["QUERY_STRING"]):
        time.sleep(seconds)
    status, pieces, announced = respond(
        environ["PATH_INFO"], length, environ["QUERY_STRING"]
    )
    start_response(status, headers_for(pieces, announced))
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return pieces


async def asgi(scope, receive, send):
    """The application for uvicorn's worker."""
    if scope["type"] != "http":
        return
    length = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    query = scope["query_string"].decode("ascii")
    for seconds in waits(query):
        await asyncio.sleep(seconds)
    status, pieces, announced = respond(scope["path"], length, query)
    headers = [
        (k.lower().encode(), v.encode()) for k, v in headers_for(pieces, announced)
    ]
    await send(
        {"type": "http.response.start", "status": int(status[:3]), "headers": headers}
    )
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
