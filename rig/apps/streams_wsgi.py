"""A WSGI app that does what streams_asgi does."""

import time
from urllib.parse import parse_qs

PIECE = b"x" * 1000


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    gap_s, count = float(query.get("gap", ["0"])[0]), int(query.get("n", ["1"])[0])
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    if environ["PATH_INFO"] == "/late":
        time.sleep(gap_s)
        count, gap_s = 1, 0
    start_response("200 OK", [("Content-Length", str(count * len(PIECE)))])
    return pieces(count, gap_s)


def pieces(count, gap_s):
    for _ in range(count):
        yield PIECE
        time.sleep(gap_s)
