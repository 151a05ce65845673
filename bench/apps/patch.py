"""The application patch that people write against growing workers: collect and trim every so many requests."""

from __future__ import annotations

import ctypes
import gc
import itertools
from typing import Any

from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

EVERY = 1024
_libc = ctypes.CDLL(None)
_count = itertools.count(1)


def after_request() -> None:
    """Trim when it is time."""
    if next(_count) % EVERY == 0:
        gc.collect()
        _libc.malloc_trim(0)


class PatchedSyncWorker(SyncWorker):
    """gunicorn's sync worker."""

    def handle_request(self, *arguments: Any) -> Any:
        """Answer one request."""
        try:
            return super().handle_request(*arguments)
        finally:
            after_request()


class PatchedThreadWorker(ThreadWorker):
    """gunicorn's gthread worker."""

    def handle_request(self, *arguments: Any) -> Any:
        """Answer one request."""
        try:
            return super().handle_request(*arguments)
        finally:
            after_request()


def asgi(app: Any) -> Any:
    """Return the application with the patch around it."""

    async def patched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            after_request()

    return patched
