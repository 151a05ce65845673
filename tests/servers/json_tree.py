"""An application that parses a JSON tree of small objects for each request, keeps one string of 200, and answers with a checksum."""

import json
import zlib

KEPT = []
OBJECTS = 60_000


def document(number):
    """Objects of objects, none of them large."""
    return json.dumps(
        [
            {
                "id": f"{number}-{i}",
                "tags": [f"tag {i % 97}", i * 1.5],
                "next": {"name": f"object {i}"},
            }
            for i in range(OBJECTS)
        ]
    )


def application(environ, start_response):
    """`/N` parses the document of this number."""
    path = environ["PATH_INFO"].strip("/")
    answer = b"hello\n"
    if path.isdigit():
        text = document(int(path))
        tree = json.loads(text)
        KEPT.extend(entry["id"] for entry in tree[::200])
        answer = b"%d %d %d\n" % (
            zlib.crc32(json.dumps(tree).encode()),
            len(KEPT),
            zlib.crc32(" ".join(KEPT).encode()),
        )
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
