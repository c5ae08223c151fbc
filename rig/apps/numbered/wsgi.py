"""A WSGI app that logs the number of each request."""

import numbers_log


def app(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    size = 0
    while size < length:
        piece = environ["wsgi.input"].read(min(length - size, 65536))
        if not piece:
            raise OSError("the client is gone")
        size += len(piece)
    body = numbers_log.done(environ["REQUEST_METHOD"], environ["QUERY_STRING"], size)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
