"""The application that gunicorn and uvicorn serve: a plain one, with no code for memory in it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from demo import rows

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

DATABASE = os.environ["DEMO_DATABASE"]


def answer(path: str, query: str) -> tuple[int, bytes]:
    """Return status and body for one request."""
    if path == "/status":
        return 200, json.dumps({"status": "ok"}).encode()
    if path == "/rows":
        parameters = parse_qs(query)
        return 200, rows.as_json(
            DATABASE, int(parameters["first"][0]), int(parameters["count"][0])
        )
    return 404, b"null"


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for the sync, gthread and gevent workers."""
    status, body = answer(environ["PATH_INFO"], environ["QUERY_STRING"])
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK" if status == 200 else "404 Not Found", headers)
    return [body]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer for uvicorn, alone or as a worker."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    # SQLite blocks: off the event loop, in its thread pool, as the ASGI frameworks do it.
    status, body = await asyncio.to_thread(
        answer, scope["path"], scope["query_string"].decode()
    )
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
