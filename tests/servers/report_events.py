"""An aiohttp server whose one answer is a stream of events, each with a report behind it: `report_events.py PORT`."""

import asyncio
import sys

import report
from aiohttp import web


async def events(request):
    """Six of them; the stream stays open then."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(6):
        await asyncio.to_thread(report.make) if number % 2 else report.make()
        await response.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.3)
    await asyncio.sleep(3600)


app = web.Application()
app.add_routes([web.get("/events", events)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
