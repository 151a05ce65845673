"""Each request frees a tree of small objects, keeps one string of a hundred of it, and leaves another tree in a cycle.

For WSGI (`wsgi`), ASGI (`asgi`), aiohttp (`python moments.py PORT`) and Django's runserver (this module as its settings).
"""

import gc
import json
import sys

DOCUMENT = json.dumps(
    [
        {
            "id": f"object {i}",
            "tags": [f"tag {i % 97}", i * 1.5],
            "next": {"name": f"{i}"},
        }
        for i in range(40_000)
    ]
)
KEPT = []
# Only who asks for a collection gets one.
gc.set_threshold(1_000_000, 1_000, 1_000)


def work():
    """Return how many strings are kept by now."""
    KEPT.extend(entry["id"] for entry in json.loads(DOCUMENT)[::100])
    cycle = [json.loads(DOCUMENT)]
    cycle.append(cycle)
    return b"%d\n" % len(KEPT)


def wsgi(environ, start_response):
    """Work for each request."""
    body = work()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """Work for each request, and take part in the lifespan."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    body = work()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# Django's settings.
DEBUG = True
SECRET_KEY = "a secret"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "moments"
WSGI_APPLICATION = "moments.wsgi"
urlpatterns = []

if __name__ == "__main__":
    from aiohttp import web

    async def answer(request):
        """Work for each request."""
        return web.Response(body=work())

    application = web.Application()
    application.router.add_get("/", answer)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None)
