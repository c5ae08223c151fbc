"""A plain WSGI app that counts: `gunicorn plain_wsgi:app`."""

import os
import time
from urllib.parse import parse_qs

from gapless_drain import Drain
from procedures import close_the_month, keep_books

RELEASE = os.environ.get("RELEASE", "0")
drain = Drain()
keep_books(drain)


def plain(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    seconds = float(query.get("s", ["0.5"])[0])
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path == "/fail":
        raise RuntimeError("asked for")
    if path == "/slow":
        time.sleep(seconds)
    if path == "/procedure":
        close_the_month(drain, seconds)
    if environ["REQUEST_METHOD"] != "POST":
        body = f"release {RELEASE} pid {os.getpid()}\n".encode()
    headers = [("Content-Length", str(len(body))), ("X-Release", f"release {RELEASE}")]
    start_response("200 OK", headers)
    return [body]


app = drain.wsgi(plain)
