"""What streams_wsgi does, with a thread for each connection and no handler of signals."""

import http.server
import os
import time
from urllib.parse import parse_qs, urlsplit

PIECE = b"x" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        gap_s, count = float(query.get("gap", ["0"])[0]), int(query.get("n", ["1"])[0])
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if url.path == "/late":
            time.sleep(gap_s)
            count, gap_s = 1, 0
        self.send_response(200)
        self.send_header("Content-Length", str(count * len(PIECE)))
        self.end_headers()
        for _ in range(count):
            self.wfile.write(PIECE)
            time.sleep(gap_s)

    do_POST = do_GET

    def log_message(self, *_):
        pass


address = ("127.0.0.1", int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
