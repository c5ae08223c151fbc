"""A server of either kind, without a framework: an event loop, or a thread for each.

Arguments: a descriptor that listens, how many connections it accepts, and its kind.  It
says `r` when it has them; a line on its input lets an answer go on.
"""

import os, re, selectors, socket, sys, threading

listener = socket.socket(fileno=int(sys.argv[1]))
count, kind = int(sys.argv[2]), sys.argv[3]
told = os.fdopen(0, "rb", buffering=0)


def say(sock, data):
    sock.setblocking(True)
    sock.sendall(data)
    sock.setblocking(kind == "threads")


def answer(sock, head):
    path = head.split(b" ")[1]
    if path == b"/hidden":
        os.write(1, b"h")
    if path == b"/stream":
        say(sock, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while told.readline() == b"more\n":
            say(sock, b"3\r\nold\r\n")
        say(sock, b"0\r\n\r\n")
    elif path == b"/until-it-closes":
        say(sock, b"HTTP/1.1 200 OK\r\n\r\nold")
        told.readline()
        sock.close()
    elif path == b"/own-mark":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 7)
        say(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
    elif path in (b"/late", b"/often"):
        say(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
        told.readline()
    else:
        say(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")


def read(sock):
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def take_in(sock, waiting):
    """Read once; return what waits, None at the end."""
    try:
        data = read(sock)
    except BlockingIOError:
        return waiting
    if not data:
        return None
    waiting += data
    if not waiting[:1].isalpha():
        say(sock, b"old:" + waiting)
        return b""
    while b"\r\n\r\n" in waiting:
        head, _, waiting = waiting.partition(b"\r\n\r\n")
        length = int((re.search(rb"Content-Length: (\d+)", head) or [0, 0])[1])
        while len(waiting) < length:
            sock.setblocking(True)
            piece = read(sock)
            if not piece:
                return None
            waiting += piece
        waiting = waiting[length:]
        answer(sock, head)
        if sock.fileno() == -1:
            return None
        if head.startswith(b"GET /late "):  # as who reads until nothing is there
            return take_in(sock, waiting)
        if head.startswith(b"GET /often "):  # as who reads just when something comes
            before = waiting
            while waiting is before:
                waiting = take_in(sock, waiting)
    return waiting


def serve(sock):
    waiting = b""
    while waiting is not None:
        waiting = take_in(sock, waiting)
    sock.close()


if kind == "threads":
    for _ in range(count):
        threading.Thread(target=serve, args=(listener.accept()[0],)).start()
    listener.close()
    os.write(1, b"r")
else:
    waiting = {}
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = listener.accept()[0]
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
        waiting[sock] = b""
    listener.close()
    os.write(1, b"r")
    while waiting:
        for key, _ in selector.select():
            sock = key.fileobj
            waiting[sock] = take_in(sock, waiting[sock])
            if waiting[sock] is None:
                del waiting[sock]
                if sock.fileno() != -1:
                    selector.unregister(sock)
                    sock.close()
