"""The application of the tests that install packages and build images: one file, which is copied there as app.py."""


def wsgi(_environ, start_response):
    """Answer whatever it is."""
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]
