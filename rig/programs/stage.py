"""A stage for real programs whose bind and listen wait for our answer."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time

from gapless.keeper.seccomp import caller, notifications
from gapless.keeper.seccomp.notifications import Notification
from gapless.keeper.spawn import Spawned, spawn
from gapless.keeper.spawn_request import SpawnRequest

DEADLINE_S = 30.0
NOBODY = 65534
PR_SET_DUMPABLE = 4

PYTHON = """
import http.server, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
"""
NODE = """
require("http").createServer((_, answer) => answer.end("hi"))
  .listen(Number(process.argv[1]), "127.0.0.1")
"""
PERL = """
use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0],
  Listen => 100, ReuseAddr => 1) or die $!;
while (my $c = $s->accept) {
  $c->recv(my $request, 1024);
  print $c "HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi";
  close $c;
}
"""
JAVA = """
import com.sun.net.httpserver.*;
import java.net.*;
public class App {
  public static void main(String[] words) throws Exception {
    int port = Integer.parseInt(words[0]);
    HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    s.createContext("/", x -> {
      x.sendResponseHeaders(200, 2);
      x.getResponseBody().write("hi".getBytes());
      x.close();
    });
    s.start();
  }
}
"""

PROGRAMS = {
    "python": (sys.executable, ["-c", PYTHON]),
    "node": ("node", ["-e", NODE]),
    "perl": ("perl", ["-e", PERL]),
    "java": ("java", ["App.java"]),
}


class Stage:
    """Starts programs and answers their calls, as the keeper and supervisor do."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.calls: list[Notification] = []
        self.alive: list[Spawned] = []
        self.notifies: list[int] = []
        self.outputs: dict[int, int] = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]

    def start(self, *argv: str) -> Spawned:
        """Start a program under the filter."""
        read_end, write_end = os.pipe()
        environment = {"PATH": os.environ["PATH"]}
        request = SpawnRequest(
            argv=argv,
            environment=environment,
            directory=self.directory,
            stdout=write_end,
            stderr=write_end,
        )
        try:
            spawned = spawn(request)
        finally:
            os.close(write_end)
        self.alive.append(spawned)
        self.notifies.append(spawned.notify)
        self.outputs[spawned.pid] = read_end
        return spawned

    def python(self, program: str) -> Spawned:
        """Start a Python program that knows PORT."""
        return self.start(sys.executable, "-c", f"PORT = {self.port}\n{program}")

    def wait(self, spawned: Spawned, timeout_s: float = DEADLINE_S) -> Notification:
        """Return the next call that concerns us; whatever else comes proceeds."""
        call = self.next(spawned, timeout_s)
        while not call.is_for_supervisor:
            notifications.proceed(spawned.notify, call.id)
            call = self.next(spawned, timeout_s)
        return call

    def next(self, spawned: Spawned, timeout_s: float = DEADLINE_S) -> Notification:
        """Return the next call of any kind."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not readable(spawned.notify, deadline - time.monotonic()):
                break
            call = notifications.receive(spawned.notify)
            if call is not None:
                self.calls.append(call)
                return call
            if notifications.has_no_process(spawned.notify):
                said = self.said(spawned)
                raise AssertionError(f"it ended without a call: {said!r}")
        raise TimeoutError("no call")

    def share(self, spawned: Spawned) -> None:
        """Give a program our socket, and let it listen."""
        call = self.wait(spawned)
        assert call.call == "bind"
        assert call.address is not None
        if call.address.family != self.listener.family:
            self.listen_as_java()
        assert call.address == caller.Address(
            self.listener.family, self.listener.getsockname()[0], self.port
        )
        self.inject(spawned, call)
        call = self.wait(spawned)
        assert call.call == "listen"
        assert notifications.answer(spawned.notify, call.id)

    def listen_as_java(self) -> None:
        """Listen on IPv4 with an IPv6 socket, since ours must be of the same family."""
        self.listener.close()
        self.listener = socket.socket(socket.AF_INET6)
        self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.listener.bind(("::ffff:127.0.0.1", self.port))
        self.listener.listen(64)

    def inject(self, spawned: Spawned, call: Notification) -> None:
        """Put our socket in the place of the program's."""
        flags = caller.descriptor_flags(call.pid, call.descriptor)
        self.listener.setblocking(not flags & os.O_NONBLOCK)
        cloexec = bool(flags & os.O_CLOEXEC)
        assert notifications.inject(
            spawned.notify,
            call.id,
            self.listener.fileno(),
            call.descriptor,
            cloexec=cloexec,
        )

    def said(self, spawned: Spawned) -> str:
        """Return what a program wrote until it and its children closed their ends."""
        descriptor, text = self.outputs[spawned.pid], b""
        while readable(descriptor, DEADLINE_S):
            chunk = os.read(descriptor, 65536)
            text += chunk
            if not chunk:
                return text.decode()
        raise TimeoutError(text)

    def line(self, spawned: Spawned) -> str:
        """Return the next line of a program."""
        descriptor, text = self.outputs[spawned.pid], b""
        while not text.endswith(b"\n") and readable(descriptor, DEADLINE_S):
            byte = os.read(descriptor, 1)
            if not byte:
                break
            text += byte
        return text.decode().strip()

    def kill(self, spawned: Spawned) -> None:
        """Kill and reap a program."""
        self.alive.remove(spawned)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(spawned.pidfd, signal.SIGKILL)
        os.waitpid(spawned.pid, 0)
        os.close(spawned.pidfd)

    def close(self) -> None:
        """End what is left."""
        for spawned in [*self.alive]:
            self.kill(spawned)
        for descriptor in [*self.notifies, *self.outputs.values()]:
            os.close(descriptor)
        self.listener.close()


def readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until there is something to read, or an end to see."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))


def ask(port: int) -> bytes:
    """Send one request and return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        answer = b""
        while chunk := client.recv(4096):
            answer += chunk
        return answer
