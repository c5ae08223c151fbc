"""Logs the number of each request, with the standard library: a thread a connection."""

import http.server
import os
from urllib.parse import urlsplit

import numbers_log


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        size = len(self.rfile.read(length))
        if size < length:
            self.close_connection = True
            return
        body = numbers_log.done(self.command, urlsplit(self.path).query, size)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
