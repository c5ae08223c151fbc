"""A WSGI app for tests: it answers with its release, /slow takes time, POST echoes."""

import os
import time
from urllib.parse import parse_qs

RELEASE = os.environ.get("RELEASE", "0")


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    else:
        if environ["PATH_INFO"] == "/slow":
            query = parse_qs(environ["QUERY_STRING"])
            time.sleep(float(query.get("s", ["0.5"])[0]))
        body = f"release {RELEASE} pid {os.getpid()}\n".encode()
    headers = [("Content-Length", str(len(body))), ("X-Release", f"release {RELEASE}")]
    start_response("200 OK", headers)
    return [body]
