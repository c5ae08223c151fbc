"""Answer on a Unix-domain path, in one of the ways in which programs take it.

Words of the environment variable HOW:
    unlink      remove what is there first
    ask         refuse to start if somebody answers there
    remove      remove the path when the stop signal comes
    chmod=MODE  set the mode of the path once it is bound
    umask=MASK  set the umask before
    relative    bind a relative path, from the directory of the path
    rename      bind another name, and rename it over the path
    elsewhere   bind another path
    late=S      bind after so long
    die         end right after listen
    scratch     before, use a socket in a directory with a drawn name, and clean up
    closed=N    before, listen on N paths and close them
"""

import os
import signal
import socket
import sys
import time

how = dict(word.partition("=")[::2] for word in os.environ.get("HOW", "").split())
path, release = os.environ["APP_SOCKET"], os.environ.get("RELEASE", "0")
name = "\0" + path[1:] if path.startswith("@") else path
if "elsewhere" in how:
    name = path = f"{path}-2"
if "scratch" in how:
    made = f"{os.path.dirname(path)}/scratch.Ab{os.urandom(1).hex()}eF"
    os.mkdir(made)
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(f"{made}/socket")
        own.listen()
    os.unlink(f"{made}/socket")
    os.rmdir(made)
for number in range(int(how.get("closed", "0"))):
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(f"{path}-{release}-{'abc'[number]}")
        own.listen()
if "relative" in how:
    os.chdir(os.path.dirname(path))
    name = path = os.path.basename(path)
if "rename" in how:
    name = f"{path}.new"
if "umask" in how:
    os.umask(int(how["umask"], 8))
if "late" in how:
    time.sleep(float(how["late"]))
if "ask" in how:
    with socket.socket(socket.AF_UNIX) as asking:
        if asking.connect_ex(path) == 0:
            sys.exit("somebody answers there")
if "unlink" in how and os.path.lexists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
if "chmod" in how:
    os.chmod(path, int(how["chmod"], 8))
listener.listen()
if "rename" in how:
    os.rename(name, path)
if "die" in how:
    time.sleep(0.05)
    sys.exit(3)


def stop(*_):
    """End as servers do."""
    if "remove" in how:
        os.unlink(path)
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
body = f"release {release} pid {os.getpid()}\n".encode()
head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
while True:
    connection, _ = listener.accept()
    with connection:
        asked = connection.recv(65536)
        if b"/slow" in asked:
            time.sleep(0.3)
        connection.sendall(head + body)
