"""Rows as JSON that nobody waits for: each request is answered at once, and a thread does the work afterwards."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.apps import rows

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_work: queue.Queue[tuple[str, str]] = queue.Queue()


def _do() -> None:
    while True:
        rows.answer(*_work.get())


threading.Thread(target=_do, daemon=True).start()


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for gunicorn."""
    if environ["PATH_INFO"] != "/status":
        _work.put((environ["PATH_INFO"], environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
