"""Answer each datagram with the release and what was in it; SLOW_S is how long that takes."""

import os
import socket
import time

port, release = int(os.environ["PORT"]), os.environ.get("RELEASE", "0")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((os.environ.get("ADDRESS", "127.0.0.1"), port))
while True:
    asked, client = sock.recvfrom(2048)
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    sock.sendto(f"release {release} ".encode() + asked, client)
