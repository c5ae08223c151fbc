"""A directory with a declaration for PM2 and its programs."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from rig.hosts.host import Host
from rig.wait import free_port

HTTP = """
const http = require('node:http');
const kept = [];
const server = http.createServer((request, response) => {
  if (request.url === '/grow') kept.push(Buffer.alloc(90e6, 1));
  request.resume().on('end', () => {
    response.end('release ' + (process.env.RELEASE || '1') + ' pid ' + process.pid);
  });
});
server.listen(process.env.PORT, '127.0.0.1', () => process.send && process.send('ready'));
"""


class Declared:
    """A directory with a declaration and its programs."""

    def __init__(self, host: Host) -> None:
        self.host, self.port = host, free_port()
        self.write("http.js", HTTP)

    def write(self, name: str, text: str) -> Path:
        """Write a program."""
        path = self.host.directory / name
        path.write_text(text)
        return path

    def declare(self, *apps: dict[str, Any]) -> None:
        """Write app.json."""
        self.write("app.json", json.dumps({"apps": apps}))

    def start(self, *apps: dict[str, Any], **where: Any) -> str:
        """Declare apps and start them."""
        self.declare(*apps)
        return self.host.ok("start", "app.json", **where)

    def http(self, **more: Any) -> dict[str, Any]:
        """Return the declaration of an app that listens."""
        env = {"PORT": self.port} | more.pop("env", {})
        return {"name": "web", "script": "http.js", "env": env, **more}

    def said(self, app: str, stream: str = "out") -> str:
        """Return what an app has printed."""
        path = self.host.home / "logs" / f"{app}-{stream}.log"
        return path.read_text() if path.exists() else ""


def ask(port: int, path: str) -> bytes:
    """Return the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()
