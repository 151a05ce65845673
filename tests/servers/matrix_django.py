"""The application of the server matrix for Django: `django-admin runserver --settings matrix_django`."""

import matrix
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import re_path

DEBUG = True
SECRET_KEY = "the tests need no secret"
ROOT_URLCONF = __name__
# It is in every project that `startproject` makes; Content-Length is its work.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ALLOWED_HOSTS = ["*"]
USE_TZ = True


def answer(request):
    """What matrix.py answers, with Django's own responses."""
    path = request.path
    announced = int(request.headers.get("Content-Length") or 0)
    if matrix.is_too_large(path, announced):
        return HttpResponse(b"too large\n", status=413, content_type="text/plain")
    length = matrix.read_body(request, announced)
    if path in ("/upload", "/limited"):
        return HttpResponse(b"%d\n" % length, content_type="text/plain")
    if path == "/stream":
        return StreamingHttpResponse(matrix.stream(), content_type=matrix.BINARY)
    if path == "/events":
        return StreamingHttpResponse(matrix.events(), content_type="text/event-stream")
    if path == "/file":
        return FileResponse(open(matrix.FILE, "rb"), content_type=matrix.BINARY)
    if path == "/slow":
        matrix.be_slow()
    return HttpResponse(
        b"slow\n" if path == "/slow" else b"hello\n", content_type="text/plain"
    )


urlpatterns = [re_path("", answer)]
