"""The same for uvicorn: plain functions, which Starlette runs in its thread pool."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.apps import patch, rows


def answer(request: Request) -> Response:
    """Answer any path."""
    status, body = rows.answer(request.url.path, request.url.query)
    return Response(body, status, media_type="application/json")


app = Starlette(routes=[Route("/{path:path}", answer)])
if "BENCH_PATCHED" in os.environ:
    app = patch.asgi(app)
