"""NumPy on buffers of 200 KB to 8 MB, several of them in each request, all freed at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import numpy as np

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def _brightness(kilobytes: int) -> bytes:
    # What image code does: each step makes another array.
    pixels = np.full(kilobytes * 256, 0.5, dtype=np.float32)
    scaled = pixels * np.float32(2.0)
    shifted = scaled + np.float32(1.0)
    return b"%.1f" % float(np.maximum(shifted, pixels).mean())


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for gunicorn."""
    body = b"ok"
    if environ["PATH_INFO"] == "/buffers":
        body = _brightness(int(parse_qs(environ["QUERY_STRING"])["kb"][0]))
    start_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    )
    return [body]
