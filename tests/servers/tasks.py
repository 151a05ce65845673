"""A Celery application: `celery --app tasks worker` under the tests, with redis at $REDIS_URL."""

import os

import celery
import heap
import jobs

app = celery.Celery(
    "tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"]
)


@app.task
def fragment():
    """Leave 64 MB of garbage in the heap of the process that works on this."""
    return heap.fragment()


@app.task
def blocks():
    """Work that lets go of all that it took."""
    return jobs.blocks()


@app.task
def left():
    """Return the anonymous RSS in MiB of the process that works on this."""
    return jobs.anonymous_mib()
