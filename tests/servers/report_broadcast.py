"""A WebSocket server that tells all of its clients of each report, and is told nothing: `report_broadcast.py PORT`."""

import asyncio
import sys

import report
from websockets.asyncio.server import broadcast, serve

CLIENTS = set()


async def client(connection):
    """Ten clients are what it waits for."""
    CLIENTS.add(connection)
    await connection.wait_closed()


async def main():
    """Six reports; the connections stay open then."""
    async with serve(client, "127.0.0.1", int(sys.argv[1])):
        while len(CLIENTS) < 10:
            await asyncio.sleep(0.05)
        for number in range(6):
            report.make()
            broadcast(CLIENTS, f"report {number}")
            await asyncio.sleep(0.3)
        await asyncio.sleep(3600)


asyncio.run(main())
