"""The smallest app that serves: one request after the other, listening in milliseconds.

PORT and RELEASE are its settings.  DIES says when it ends by itself: `start`, before it
listens, or `served`, right after its first answer.  A request for /die is its last.  It has
accepted nothing else when it ends, so its death loses no request.  CODE: its exit code then.

APP_SOCKET: a Unix-domain path in the place of the port.  BACKGROUND: it goes there once it
listens.  NOTES: a file in which it notes NAME when it begins and when it is told to end.
"""

from __future__ import annotations

import _signal
import _socket
import os
import select

release, dies = os.environ["RELEASE"], os.environ.get("DIES", "")
notes, name = os.environ.get("NOTES"), os.environ.get("NAME")


def note(word: str) -> None:
    """Write a line, if that is wanted."""
    if notes:
        with open(notes, "a") as file:
            file.write(f"{word} {name}\n")


note("begins")
if dies == "start":
    os._exit(int(os.environ.get("CODE", "3")))
woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
_signal.set_wakeup_fd(wakes)
_signal.signal(_signal.SIGTERM, lambda *_: None)
path = os.environ.get("APP_SOCKET")
listener = _socket.socket(_socket.AF_UNIX if path else _socket.AF_INET)
if path:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
listener.bind(path or ("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)
listener.setblocking(False)  # another instance may be faster to accept
if "BACKGROUND" in os.environ:
    if os.fork():
        os._exit(0)
    os.setsid()
body = f"release {release} pid {os.getpid()}\n".encode()
answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
poll = select.poll()
poll.register(listener.fileno(), select.POLLIN)
poll.register(woken, select.POLLIN)
while True:
    if any(descriptor == woken for descriptor, _ in poll.poll()):
        note("ends")
        os._exit(0)
    try:
        descriptor, _ = listener._accept()
    except BlockingIOError:
        continue
    connection = _socket.socket(fileno=descriptor)
    connection.settimeout(5)
    try:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            if not piece:
                break
            head += piece
        else:
            connection.sendall(answer + body)
            connection.shutdown(_socket.SHUT_WR)
            while connection.recv(4096):
                pass
    except OSError:
        pass
    connection.close()
    if dies == "served" or head.startswith(b"GET /die "):
        os._exit(int(os.environ.get("CODE", "4")))
