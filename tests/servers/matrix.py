"""The application of the server matrix: the same paths for WSGI (`matrix:wsgi`) and for ASGI (`matrix:asgi`).

path        answer
/small      a few bytes
/upload     the length of the request body; a body cut short drops the connection without an answer
/limited    413 when the body is announced to be larger than 4 MiB, before any of it is read; else as /upload
/stream     5 MiB in pieces
/file       the file `file` in the directory SITE, by sendfile where the server has it
/slow       answers after 0.6 s
/events     20 server-sent events, 5 ms apart
/ws         a WebSocket that echoes (ASGI)
"""

import asyncio
import errno
import os
import time
from wsgiref.util import FileWrapper

LIMIT = 4 * 1024 * 1024
PIECE = bytes(range(256)) * 256
PIECES = 80
SLOW = 0.6
EVENTS = 20
PAUSE = 0.005
FILE = os.path.join(os.environ.get("SITE", "."), "file")
FILE_LENGTH = 5 * 1024 * 1024
BINARY = "application/octet-stream"


class CutShort(ConnectionResetError):
    """The client left in the middle of its request body: servers drop the connection on this error."""

    def __init__(self):
        super().__init__(errno.ECONNRESET, "request body cut short")


def event(number):
    """One server-sent event."""
    return b"data: event %d\n\n" % number


def events():
    """All of them, with a pause before each."""
    for number in range(EVENTS):
        time.sleep(PAUSE)
        yield event(number)


def stream():
    """5 MiB in pieces of 64 KiB."""
    return (PIECE for _ in range(PIECES))


def file():
    """The file in pieces of 64 KiB."""
    with open(FILE, "rb") as opened:
        while piece := opened.read(65536):
            yield piece


def be_slow():
    """Wait so long that a client can leave meanwhile."""
    time.sleep(SLOW)


def is_too_large(path, announced):
    """Whether a body of the announced length is refused."""
    return path == "/limited" and announced > LIMIT


def read_body(stream, announced):
    """Read a request body; its length."""
    length = 0
    while length < announced:
        piece = stream.read(min(65536, announced - length))
        if not piece:
            raise CutShort
        length += len(piece)
    return length


def wsgi(environ, start_response):
    """The application for WSGI servers."""

    def answer(status, body, kind="text/plain"):
        start_response(
            status, [("Content-Type", kind), ("Content-Length", str(len(body)))]
        )
        return [body]

    path = environ["PATH_INFO"]
    announced = int(environ.get("CONTENT_LENGTH") or 0)
    if is_too_large(path, announced):
        return answer("413 Content Too Large", b"too large\n")
    length = read_body(environ["wsgi.input"], announced)
    if path in ("/upload", "/limited"):
        return answer("200 OK", b"%d\n" % length)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", BINARY)])
        return stream()
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return events()
    if path == "/file":
        length = [("Content-Type", BINARY), ("Content-Length", str(FILE_LENGTH))]
        start_response("200 OK", length)
        wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
        return wrapper(open(FILE, "rb"), 65536)
    if path == "/slow":
        be_slow()
        return answer("200 OK", b"slow\n")
    if path == "/small":
        return answer("200 OK", b"hello\n")
    return answer("404 Not Found", b"no such path\n")


async def asgi(scope, receive, send):
    """The application for ASGI servers."""
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)


async def echo(receive, send):
    """A WebSocket: every message comes back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def http(scope, receive, send):
    """One request."""

    async def start(status, kind, length=None):
        headers = [(b"content-type", kind.encode())]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )

    async def body(piece, more=True):
        await send({"type": "http.response.body", "body": piece, "more_body": more})

    async def answer(status, text):
        await start(status, "text/plain", len(text))
        await body(text, more=False)

    path = scope["path"]
    announced = int(dict(scope["headers"]).get(b"content-length", 0))
    if is_too_large(path, announced):
        await answer(413, b"too large\n")
        return
    length = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    if path in ("/upload", "/limited"):
        await answer(200, b"%d\n" % length)
    elif path == "/stream":
        await start(200, BINARY)
        for piece in stream():
            await body(piece)
        await body(b"", more=False)
    elif path == "/events":
        await start(200, "text/event-stream")
        for number in range(EVENTS):
            await asyncio.sleep(PAUSE)
            await body(event(number))
        await body(b"", more=False)
    elif path == "/file":
        await start(200, BINARY, FILE_LENGTH)
        if "http.response.pathsend" in scope.get("extensions", {}):
            await send({"type": "http.response.pathsend", "path": FILE})
        else:
            for piece in file():
                await body(piece)
            await body(b"", more=False)
    elif path == "/slow":
        await asyncio.sleep(SLOW)
        await answer(200, b"slow\n")
    elif path == "/small":
        await answer(200, b"hello\n")
    else:
        await answer(404, b"no such path\n")
