"""A small HTTP server with little memory.

It answers each request with its RELEASE, and asks for nothing but PORT.  Before it listens
it uses as much processor time as START_CPU_S says, as a program does that loads more.
"""

import os
import signal
import socket
import socketserver
import time


class Exchange(socketserver.StreamRequestHandler):
    """One request, one answer, and the end of the connection."""

    def handle(self) -> None:
        """Read the head, answer it."""
        while self.rfile.readline(65536).strip():
            continue
        body = os.environ.get("RELEASE", "").encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close"
        self.wfile.write(head.encode() + b"\r\n\r\n" + body)


class Server(socketserver.TCPServer):
    """Listens on loopback, also right after another one did."""

    allow_reuse_address = True
    request_queue_size = socket.SOMAXCONN


while time.process_time() < float(os.environ.get("START_CPU_S", "0")):
    continue
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("127.0.0.1", int(os.environ["PORT"])), Exchange).serve_forever(3600)
