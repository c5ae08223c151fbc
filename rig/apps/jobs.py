"""Runs stored procedures in background threads, and answers before they are done.

POST /job?s=SECONDS begins one and answers; each accepted job is a line in LEDGER.  It uses
the drain library only if NAMED is set: then each job is a procedure of the library.  With
DATABASE=postgresql it speaks PostgreSQL's protocol itself, on one connection for each job;
the next job uses the connection again.  With DATABASE=mariadb it runs MariaDB's own client.
If AT_START is RELEASE:SECONDS, that release begins a job at its start.
"""

import contextlib
import http.server
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

RELEASE = os.environ.get("RELEASE", "0")
LEDGER = os.environ["LEDGER"]
DATABASE_PORT = int(os.environ["DATABASE_PORT"])
KIND = os.environ.get("DATABASE", "postgresql")
numbers = itertools.count()


class Postgresql:
    """One connection with the simple query protocol; there is no password."""

    def __init__(self):
        self.sock = socket.create_connection(("127.0.0.1", DATABASE_PORT))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = struct.pack("!I", 196608) + b"user\0app\0database\0app\0\0"
        self.sock.sendall(struct.pack("!I", len(first) + 4) + first)
        self.answer()
        # So the database notices soon that its client is gone.
        self.query("SET client_connection_check_interval = '100ms'")

    def ask(self, text):
        body = text.encode() + b"\0"
        self.sock.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)

    def answer(self):
        """Read until the database is ready for the next query."""
        heard = b""
        while True:
            while len(heard) >= 5:
                (length,) = struct.unpack_from("!I", heard, 1)
                if len(heard) <= length:
                    break
                kind, heard = heard[:1], heard[length + 1 :]
                if kind == b"Z":
                    return
                if kind == b"E":
                    raise RuntimeError(heard)
            piece = self.sock.recv(65536)
            if not piece:
                raise ConnectionError("the database hung up")
            heard += piece

    def query(self, text):
        self.ask(text)
        self.answer()


idle = []


def begin_postgresql(job, seconds):
    """Begin a job in a transaction; return a function that waits for its end."""
    connection = idle.pop() if idle else Postgresql()
    connection.query("BEGIN")
    connection.ask(f"CALL work('{job}', {seconds}); COMMIT")

    def finish():
        connection.answer()
        idle.append(connection)

    return finish


def begin_mariadb(job, seconds):
    """Do the same with the client, which is a process of its own."""
    argv = ["mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1"]
    argv += [f"--port={DATABASE_PORT}", "--user=app", "--unbuffered", "app"]
    client = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"MYSQL_PWD": "secret"},
    )
    script = "START TRANSACTION;\nSELECT 'begun';\n"
    script += f"CALL work('{job}', {seconds});\nCOMMIT;\n"
    client.stdin.write(script.encode())
    client.stdin.close()
    client.stdout.readline()  # the client calls the procedure next
    return client.wait


def named(job):
    """Return a context that marks a job as a procedure, if NAMED is set."""
    if "NAMED" not in os.environ:
        return contextlib.nullcontext()
    return drain.procedure(f"work {job}")


def work(job, seconds, begun):
    begin = begin_postgresql if KIND == "postgresql" else begin_mariadb
    with named(job):
        finish = begin(job, seconds)
        begun.set()
        finish()


def accept(seconds):
    """Begin a job; return its name when the database has got its call."""
    job, begun = f"{os.getpid()}-{next(numbers)}", threading.Event()
    threading.Thread(target=work, args=(job, seconds, begun), daemon=True).start()
    if not begun.wait(10):
        return None
    with open(LEDGER, "a", encoding="utf-8") as ledger:
        ledger.write(f"{job}\n")
    return job


class Jobs(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(f"release {RELEASE} pid {os.getpid()}\n")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = parse_qs(urlsplit(self.path).query)
        job = accept(float(asked["s"][0]))
        if job is None:
            self.send_error(500)
            return
        self.answer(f"release {RELEASE} accepted {job}\n")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    if "NAMED" in os.environ:
        from gapless_drain import Drain

        drain = Drain(on_signal=None)
    release, _, seconds = os.environ.get("AT_START", "").partition(":")
    if release == RELEASE:
        accept(float(seconds))
    Server(
        ("127.0.0.1", int(os.environ.get("PORT", sys.argv[-1]))), Jobs
    ).serve_forever()
