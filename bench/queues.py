"""Tasks for Celery and Sidekiq, put into Redis as their own clients do, and what comes of them."""

from __future__ import annotations

import base64
import functools
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

TIMEOUT_SECONDS = 30
# How long a worker may take for a task that asks whether it serves.
READY_SECONDS = 1


def _celery(arguments: list[str], identity: str) -> dict[str, Any]:
    """Return a message of protocol 2, in the envelope that kombu gives it in Redis."""
    body = json.dumps([arguments, {}, {}]).encode()
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": "index", "id": identity},
        "properties": {
            "correlation_id": identity,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": identity,
        },
    }


def _sidekiq(arguments: list[str], identity: str) -> dict[str, Any]:
    """Return a job."""
    now = time.time()
    return {
        "class": "Index",
        "args": arguments,
        "retry": False,
        "queue": "default",
        "jid": identity,
        "created_at": now,
        "enqueued_at": now,
    }


Message = Callable[[list[str], str], dict[str, Any]]
# Of each kind of worker: the list from which it takes its tasks, and what one looks like there.
WORKERS: dict[str, tuple[str, Message]] = {
    "celery": ("celery", _celery),
    "sidekiq": ("queue:default", _sidekiq),
}


@dataclass(frozen=True)
class Queue:
    """What a worker takes its tasks from: a database of a Redis, which no other worker uses."""

    port: int
    database: int
    worker: str

    @property
    def url(self) -> str:
        """Return how the worker is told of it."""
        return f"redis://127.0.0.1:{self.port}/{self.database}"

    def ask(self, target: str, seconds: float = TIMEOUT_SECONDS) -> int:
        """Have a task done, which says so in a list of its own; return how many bytes it made."""
        import redis  # not before the virtual environment is there

        identity = str(uuid.uuid4())
        answer = f"answer:{identity}"
        name, message = WORKERS[self.worker]
        try:
            self._redis.lpush(name, json.dumps(message([target, answer], identity)))
            found = self._redis.blpop([answer], seconds)
        except redis.RedisError as error:
            raise OSError(str(error)) from error
        if not found:
            raise TimeoutError(f"nobody has done it within {seconds} s")
        return int(found[1])

    def is_served(self) -> bool:
        """Tell whether a worker takes tasks from it."""
        try:
            return self.ask("/status", READY_SECONDS) > 0
        except OSError:
            return False

    @functools.cached_property
    def _redis(self) -> redis.Redis:
        """Connections, one for each thread that asks."""
        import redis

        return redis.Redis.from_url(self.url, socket_timeout=2 * TIMEOUT_SECONDS)
