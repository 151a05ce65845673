"""PostgreSQL rows as JSON, and small status requests: WSGI for gunicorn, ASGI (Starlette) for uvicorn."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

QUERY = (
    "SELECT id, author, views, body FROM article WHERE id >= %s ORDER BY id LIMIT %s"
)
_local = threading.local()


def _fragmented_heap(megabytes: int) -> list[bytes]:
    """Return live blocks of 0.5 to 16 KB with holes between them: one in three was freed."""
    rng = random.Random(1)
    blocks, total = [], 0
    while total < megabytes << 20:
        size = rng.randint(512, 16_384)
        blocks.append(b"x" * size)
        total += size
    del blocks[::3]
    return blocks


HEAP = _fragmented_heap(int(os.environ.get("BENCH_HEAP_MB", "0")))


def _rows(first: int, count: int) -> bytes:
    # One connection per thread, as every framework's pool comes down to.
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(
            os.environ["BENCH_DATABASE"], autocommit=True, row_factory=dict_row
        )
    return json.dumps(
        _local.connection.execute(QUERY, (first, count)).fetchall()
    ).encode()


def answer(path: str, query: str) -> tuple[int, bytes]:
    """Return status and body for one request."""
    if path == "/status":
        return 200, json.dumps({"status": "ok"}).encode()
    if path == "/rows":
        parameters = parse_qs(query)
        return 200, _rows(int(parameters["first"][0]), int(parameters["count"][0]))
    return 404, b"null"


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for gunicorn."""
    status, body = answer(environ["PATH_INFO"], environ["QUERY_STRING"])
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK" if status == 200 else "404 Not Found", headers)
    return [body]
