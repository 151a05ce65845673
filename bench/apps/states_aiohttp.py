"""Many small objects that change all the time, as home automation has them: `python -m bench.apps.states_aiohttp PORT`."""

from __future__ import annotations

import collections
import random
import sys
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class State:
    """What is known of a thing."""

    name: str
    value: str
    attributes: dict[str, str] = field(default_factory=dict)


STATES: dict[str, State] = {}
HISTORY: collections.deque[State] = collections.deque(maxlen=5_000)
RANDOM = random.Random(1)


async def status(request: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response(text="ok")


async def update(request: web.Request) -> web.Response:
    """Many things change; one in 200 of the old states is history."""
    changes = [
        State(
            f"sensor.{RANDOM.randrange(2_000)}",
            str(RANDOM.random()),
            {f"attribute {n}": str(RANDOM.random()) for n in range(5)},
        )
        for _ in range(int(request.query["count"]))
    ]
    for state in changes:
        STATES[state.name] = state
    HISTORY.extend(changes[::200])
    return web.Response(text=str(len(STATES)))


app = web.Application()
app.add_routes([web.get("/status", status), web.get("/update", update)])

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
