"""The application of the server matrix for aiohttp: `matrix_aiohttp.py PORT [CERTIFICATE KEY]`."""

import asyncio
import ssl
import sys

import matrix
from aiohttp import web


async def upload(request):
    """The length of the body; 413 before any of it is read."""
    if matrix.is_too_large(request.path, request.content_length or 0):
        return web.Response(status=413, text="too large\n")
    length = 0
    async for piece in request.content.iter_any():
        length += len(piece)
    return web.Response(text=f"{length}\n")


async def small(_request):
    """A few bytes."""
    return web.Response(text="hello\n")


async def slow(_request):
    """The same after a while."""
    await asyncio.sleep(matrix.SLOW)
    return web.Response(text="slow\n")


async def file(_request):
    """5 MiB from a file."""
    return web.FileResponse(matrix.FILE)


async def stream(request):
    """5 MiB in pieces."""
    response = web.StreamResponse(headers={"Content-Type": matrix.BINARY})
    await response.prepare(request)
    for piece in matrix.stream():
        await response.write(piece)
    return response


async def events(request):
    """Server-sent events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(matrix.EVENTS):
        await asyncio.sleep(matrix.PAUSE)
        await response.write(matrix.event(number))
    return response


async def echo(request):
    """A WebSocket: every message comes back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


def main():
    """Serve until SIGTERM."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/small", small),
            web.get("/slow", slow),
            web.get("/file", file),
            web.get("/stream", stream),
            web.get("/events", events),
            web.get("/ws", echo),
            web.post("/upload", upload),
            web.post("/limited", upload),
        ]
    )
    port, *certificate = sys.argv[1:]
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None)


if __name__ == "__main__":
    main()
