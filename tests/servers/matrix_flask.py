"""The application of the server matrix for Flask: `flask --app matrix_flask run`."""

import flask
import matrix

app = flask.Flask(__name__)


@app.route("/<path:_>", methods=["GET", "POST"])
def answer(_):
    """What matrix.py answers, with Flask's own responses."""
    path = flask.request.path
    announced = flask.request.content_length or 0
    if matrix.is_too_large(path, announced):
        return flask.Response(b"too large\n", status=413, mimetype="text/plain")
    length = matrix.read_body(flask.request.stream, announced)
    if path in ("/upload", "/limited"):
        return flask.Response(b"%d\n" % length, mimetype="text/plain")
    if path == "/stream":
        return flask.Response(matrix.stream(), mimetype=matrix.BINARY)
    if path == "/events":
        return flask.Response(matrix.events(), mimetype="text/event-stream")
    if path == "/file":
        return flask.send_file(matrix.FILE, mimetype=matrix.BINARY)
    if path == "/slow":
        matrix.be_slow()
    return flask.Response(
        b"slow\n" if path == "/slow" else b"hello\n", mimetype="text/plain"
    )
