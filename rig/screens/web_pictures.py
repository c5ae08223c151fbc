"""Make the pictures of docs/web.md: `python -m rig.screens.web_pictures DIRECTORY`.

They are looked at before they go into the docs.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from pathlib import Path

from rig import wait
from rig.fixtures.web_page import Page, start_page
from rig.hosts.host import Host, temporary_host
from rig.screens.browser import Browser, browser
from rig.sigterm import clean_up_at_sigterm

SERVES = """
import http.server, os, sys, threading
if os.environ.get("BROKEN"):
    sys.exit("cannot connect to the database: connection refused")
print("listening on port", os.environ["PORT"], flush=True)
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print("GET", self.path, flush=True)
        if self.path == "/export":
            threading.Event().wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\\n")
    def log_message(self, *_): pass
address = ("127.0.0.1", int(os.environ["PORT"]))
class Server(http.server.ThreadingHTTPServer): request_queue_size = 128
Server(address, Answers).serve_forever()
"""


def declare(host: Host, name: str, instances: int, port: int, *, broken: bool) -> Path:
    """Write the configuration of an app."""
    program = host.directory / "app.py"
    program.write_text(SERVES)
    variables = f'PORT = "{port}"' + (', BROKEN = "1"' if broken else "")
    return host.configure(
        f"[app.{name}]\ncommand = {json.dumps([sys.executable, str(program)])}\n"
        f"directory = {json.dumps(str(host.directory))}\ninstances = {instances}\n"
        f"environment = {{ {variables} }}\nmin_healthy_s = 3\n"
        "stop = { drain_timeout_s = 4 }\n",
        f"{name}.toml",
    )


def connected(port: int, path: str) -> socket.socket:
    """Return a connection on which a request was sent; `/export` is not answered."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    if path != "/export":
        sock.recv(100)
    return sock


def take(window: Browser, directory: Path, name: str, height: int) -> None:
    """Write what is seen in light and in dark colours."""
    window.resize(1100, height)
    for is_dark in (False, True):
        window.prefer(dark=is_dark)
        path = directory / f"{name}-{'dark' if is_dark else 'light'}.png"
        window.screenshot(path)
        print(path, path.stat().st_size, "bytes")


def main() -> None:
    """Make the pictures."""
    directory = Path(sys.argv[1])
    with temporary_host() as host, browser() as window, contextlib.ExitStack() as stack:
        ports = {name: wait.free_port() for name in ("api", "shop", "mail")}
        for (name, port), count in zip(ports.items(), (4, 2, 1), strict=True):
            host.ok("start", declare(host, name, count, port, broken=False))
        page_port = wait.free_port()
        start_page(host, page_port, "--actions")
        page = Page(host, page_port)
        for path in ["/", "/export", *["/"] * 6]:
            stack.enter_context(connected(ports["shop"], path))
        declare(host, "mail", 1, ports["mail"], broken=True)
        host.gapless("reload", "mail")
        host.ok("reload", "shop")  # the export is cut, and that is told
        window.open(f"http://127.0.0.1:{page.port}/?token={page.token}")
        window.sees("#apps", "shop")
        window.open(f"http://127.0.0.1:{page.port}/#app=shop")
        window.sees("#reports", "reload")
        with host.begin("reload", "api") as reload:
            window.open(f"http://127.0.0.1:{page.port}/#app=api")
            window.sees("#release-step", "switched")
            take(window, directory, "web", 900)
            reload.communicate()
        window.open(f"http://127.0.0.1:{page.port}/#app=shop")
        window.sees("#reports", "reload")
        window.run("document.querySelector('#reports button').click()")
        window.sees("#report", "What was cut")
        window.run("document.querySelector('#reports-title').scrollIntoView()")
        take(window, directory, "web-report", 900)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
