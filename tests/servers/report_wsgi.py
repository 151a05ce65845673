"""A WSGI application with a long report and a probe: `gunicorn report_wsgi:application`."""

import report


def application(environ, start_response):
    """/report takes five seconds, everything else nothing."""
    if environ["PATH_INFO"] == "/report":
        report.make(5)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
