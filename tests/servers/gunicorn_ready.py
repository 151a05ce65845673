"""gunicorn configuration of the tests: each worker says when it is about to serve (see tests/common/gunicorn.rs)."""


def post_worker_init(worker):
    """Called in the worker once the application is loaded and its signal handlers are in place."""
    worker.log.info("Worker ready: %s", worker.pid)
