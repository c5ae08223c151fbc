"""A server with its sessions in memory, as those of socket.io: one long poll is a request.

`/open` begins a session, `/poll?ID` goes on with it; an instance that does not know the
session answers with 400, as engine.io does.  Each answer begins with the generation and the
ordinal of the instance.  HTTP/1.1 with keep-alive, a thread for each connection.
"""

import os
import secrets
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OWN = f"{os.environ['GAPLESS_GENERATION']} {os.environ['NODE_APP_INSTANCE']}"
SESSIONS = {}


class Answers(BaseHTTPRequestHandler):
    """Knows its own sessions."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Begin a session, or go on with one."""
        path, _, session = self.path.partition("?")
        if path == "/open":
            session = secrets.token_hex(8)
            SESSIONS[session] = 0
        known = session in SESSIONS
        if known:
            SESSIONS[session] += 1
        body = f"{OWN} {session if known else 'unknown'}".encode()
        self.send_response(200 if known or path == "/" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """Takes as many connections as the kernel keeps."""

    request_queue_size = 1024


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Answers).serve_forever()
