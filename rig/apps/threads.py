"""Does what wsgi_app does, with the standard library: a thread for each connection."""

import http.server
import os
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

RELEASE = os.environ.get("RELEASE", "0")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/slow":
            time.sleep(float(parse_qs(url.query).get("s", ["0.5"])[0]))
        self.answer(f"release {RELEASE} pid {os.getpid()}\n".encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.send_response(500 if "BROKEN" in os.environ else 200)
        self.send_header("X-Release", f"release {RELEASE}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


class Server6(Server):
    address_family = socket.AF_INET6


def bind(place):
    """Bind `HOST:PORT`, or `HOST:PORT@FILE` when that file is there."""
    place, _, awaited = place.partition("@")
    while awaited and not os.path.exists(awaited):
        time.sleep(0.01)
    host, _, port = place.rpartition(":")
    kind = Server6 if host.startswith("[") else Server
    return kind((host.strip("[]"), int(port)), Handler)


def ask(place):
    """Bind `HOST:PORT` to see whether it is free, and close it again."""
    host, _, port = place.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host.strip("[]"), int(port)))
        sock.listen()


def check(place):
    """Connect to `HOST:PORT` to see whether it is free, and give up if it is not."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
    except ConnectionRefusedError:
        return
    sys.exit(f"port {port} is in use")


if __name__ == "__main__":
    port = os.environ.get("PORT", sys.argv[-1])
    for place in os.environ.get("CHECKS", "").split():
        check(place.replace("PORT", port))
    for place in os.environ.get("ASKS", "").split():
        ask(place.replace("PORT", port))
    for place in os.environ.get("PLACES", f"127.0.0.1:{port}").split():
        server = bind(place.replace("PORT", port))
        threading.Thread(target=server.serve_forever).start()
