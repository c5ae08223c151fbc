"""Answer each datagram with the release and what was in it.

SLOW_S is how long that takes.  With SESSIONS, each client is answered by a socket of its own
on the same address, which is connected to it, as servers of DTLS do.
"""

import os
import socket
import time

port, release = int(os.environ["PORT"]), os.environ.get("RELEASE", "0")
address = (os.environ.get("ADDRESS", "127.0.0.1"), port)
sessions = "SESSIONS" in os.environ


def bound():
    """Return one more socket on the address."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if sessions:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    return made


sock, kept = bound(), []
while True:
    asked, client = sock.recvfrom(2048)
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    answer = f"release {release} ".encode() + asked
    if sessions:
        kept.append(bound())
        kept[-1].connect(client)
        kept[-1].send(answer)
    else:
        sock.sendto(answer, client)
