"""Rows as server-sent events: `python -m bench.apps.pushes_aiohttp PORT`. A client asks once, and then only listens.

The body of its request says what it subscribes to, an event a line: when that is due, in seconds from `began` (of
CLOCK_MONOTONIC), and what it is made from. The response is the stream. It does not end when all has been sent: the client is
who goes away.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import time

from aiohttp import web

from bench.apps import patch, rows


async def status(request: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response(text="ok")


async def _event(target: str) -> bytes:
    path, _, query = target.partition("?")
    _, body = await asyncio.to_thread(rows.answer, path, query)
    return b"data: %b\n\n" % body


async def events(request: web.Request) -> web.StreamResponse:
    """Push each event when it is due, and no sooner than the one before it has been taken."""
    plan = io.BytesIO(await request.read())
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await stream.prepare(request)
    began = float(request.query["began"])
    for line in plan:
        seconds, target = line.decode().split()
        await asyncio.sleep(max(0.0, began + float(seconds) - time.monotonic()))
        # It has no name here: it would be in use until the next.
        await stream.write(await _event(target))
        if "BENCH_PATCHED" in os.environ:
            patch.after_request()
    await asyncio.Event().wait()
    return stream


app = web.Application(client_max_size=1 << 26)
app.add_routes([web.get("/status", status), web.post("/events", events)])

if __name__ == "__main__":
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        # A client that goes away ends its stream; at the end nobody waits for those that are left.
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )
