"""Prints numbered lines, in pieces of any size, until the
count in its first argument.

It serves on PORT as well, one short answer a connection.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time

PAUSE_S = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
"""After each piece that it prints."""


def serve() -> None:
    """Answer every connection with the release."""
    body = f"release {os.environ.get('RELEASE', '')}\n".encode()
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)


def write_all(text: bytes) -> None:
    """Write all of it: a pipe takes what it has room for."""
    with memoryview(text) as view:
        written = 0
        while written < len(view):
            written += os.write(1, view[written:])
    time.sleep(PAUSE_S)


threading.Thread(target=serve, daemon=True).start()
draw = random.Random(1)
count, number, waiting = int(sys.argv[1]), 0, b""
while number < count:
    waiting += b"line %d %s\n" % (number, b"x" * draw.randrange(80))
    number += 1
    if len(waiting) > 4096 or draw.random() < 0.01:
        cut = draw.randrange(len(waiting) + 1)  # mostly not at the end of a line
        write_all(waiting[:cut])
        waiting = waiting[cut:]
write_all(waiting)
threading.Event().wait()
