"""gunicorn configuration of the tests: each worker says when it is about to serve (see tests/common/gunicorn.rs). By BALLAST the
master holds so many megabytes, which its workers share."""

import os

ballast = [bytes(2_000) for _ in range(512 * int(os.environ.get("BALLAST", "0")))]


def post_worker_init(worker):
    """Called in the worker once the application is loaded and its signal handlers are in place."""
    worker.log.info("Worker ready: %s", worker.pid)
