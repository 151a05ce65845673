"""A task worker that parses JSON: `celery --app bench.apps.parse_celery worker`, with Redis at $REDIS_URL."""

from __future__ import annotations

import json
import os

import celery

app = celery.Celery(
    "parse", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"]
)


@app.task(name="parse")
def parse(records: int) -> int:
    """Parse a document of so many records, and count what is in it."""
    record = '{"id": %d, "name": "record %d", "values": [%d, 2.5, "three"]}'
    text = ",".join(record % (n, n, n) for n in range(records))
    return len({row["name"] for row in json.loads(f"[{text}]")})
