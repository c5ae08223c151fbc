"""`tiny.py` with connections that are kept: it serves all of them at once, with poll(2).

PORT and RELEASE are its settings.  It ends at once when it is told to, whatever is open.
"""

from __future__ import annotations

import _socket
import os
import select

release = os.environ["RELEASE"]
listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)
listener.setblocking(False)
body = f"release {release} pid {os.getpid()}\n".encode()
answers = {
    close: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), header)
    for close, header in ((False, b""), (True, b"Connection: close\r\n"))
}
poll = select.poll()
poll.register(listener.fileno(), select.POLLIN)
connections: dict[int, tuple[_socket.socket, bytearray]] = {}
while True:
    for ready, _ in poll.poll():
        if ready == listener.fileno():
            try:
                descriptor, _ = listener._accept()
            except BlockingIOError:
                continue
            sock = _socket.socket(fileno=descriptor)
            sock.setblocking(False)
            connections[descriptor] = sock, bytearray()
            poll.register(descriptor, select.POLLIN)
            continue
        sock, head = connections[ready]
        try:
            piece = sock.recv(4096)
        except BlockingIOError:
            continue
        except OSError:
            piece = b""
        head += piece
        if piece and b"\r\n\r\n" not in head:
            continue
        close = not piece or b"connection: close" in head.lower()
        if piece:
            sock.sendall(answers[close] + body)
            head.clear()
        if close:
            poll.unregister(ready)
            del connections[ready]
            sock.close()
