"""A Celery application: `celery --app tasks worker` under the tests, with redis at $REDIS_URL."""

import os

import celery
import heap

app = celery.Celery(
    "tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"]
)


@app.task
def fragment():
    """Leave 64 MB of garbage in the heap of the process that works on this."""
    return heap.fragment()
