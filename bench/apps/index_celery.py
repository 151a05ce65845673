"""A task worker that indexes documents by their words: `celery --app bench.apps.index_celery worker`.

Documents are PostgreSQL's rows as JSON, at $BENCH_DATABASE; tasks come from Redis, at $REDIS_URL. See index_sidekiq.rb.
"""

from __future__ import annotations

import json
import os

import celery
import redis

from bench.apps import rows

app = celery.Celery("index", broker=os.environ["REDIS_URL"])
# Each task tells whoever waits for it itself, as Sidekiq's have to.
app.conf.task_ignore_result = True
database = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.task(name="index")
def index(target: str, answer: str) -> None:
    """Make a document, read it, index it if there are rows in it, and say how long it is."""
    path, _, query = target.partition("?")
    _, body = rows.answer(path, query)
    found: dict[str, list[int]] = {}
    for row in json.loads(body) if query else ():
        for word in row["body"].split():
            found.setdefault(word, []).append(row["id"])
    database.lpush(answer, len(body))
