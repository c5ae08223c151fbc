"""A keeper without a supervisor, and a line on which a test says whatever it likes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from gapless.base import wire
from gapless.keeper import run
from rig import wait

ANSWER_S = 20.0
_START = "import sys; from gapless.keeper import run; run.start(sys.argv[1])"


class KeeperLine:
    """A connection to a keeper of its own, in the place of a supervisor's."""

    def __init__(self, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        with (home / "keeper.err").open("wb") as errors:
            argv = [sys.executable, "-c", _START, str(home)]
            subprocess.run(argv, check=True, stderr=errors)
        self.channel, self.pid = self._connect()

    def _connect(self) -> tuple[wire.Channel, int]:
        sock = run.connect(str(self.home))
        assert sock is not None, self.errors()
        channel = wire.Channel(sock)
        sock.settimeout(ANSWER_S)
        self.announced: list[dict[str, Any]] = []
        while True:
            message, descriptors = channel.receive()
            for descriptor in descriptors:
                os.close(descriptor)
            if message["event"] == "welcome":
                return channel, message["pid"]
            self.announced.append(message)

    def connect_again(self) -> None:
        """Connect as a new supervisor does."""
        self.channel.close()
        self.channel, pid = self._connect()
        assert pid == self.pid

    def send(self, message: Any, *descriptors: int) -> None:
        """Send an object as a message; bytes as they are."""
        if isinstance(message, dict):
            self.channel.send(message, descriptors)
        else:
            socket.send_fds(self.channel.sock, [message], descriptors)

    def receive(self) -> dict[str, Any]:
        """Return the next message; its descriptors are closed."""
        message, descriptors = self.channel.receive()
        for descriptor in descriptors:
            os.close(descriptor)
        return message

    def until_answered(self) -> list[dict[str, Any]]:
        """Return what the keeper sent until it had done all that it was sent."""
        self.send({"op": "release", "name": "the last message"})
        found: list[dict[str, Any]] = []
        while (message := self.receive()) != {
            "event": "released",
            "name": "the last message",
        }:
            found.append(message)
        return found

    def descriptors(self) -> list[str]:
        """Return what the keeper has open, each as /proc shows it; pipes by their kind."""
        found = []
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except OSError:
                continue
            found.append(target.partition("[")[0])
        return sorted(found)

    def errors(self) -> str:
        """Return what the keeper wrote on its standard error."""
        return (self.home / "keeper.err").read_text()

    def close(self) -> None:
        """Let the keeper end."""
        self.send({"op": "end"})
        wait.until(lambda: not Path(f"/proc/{self.pid}/fd").exists(), "its end")
        self.channel.close()


def spawn(key: str = "app/1/0/1", **fields: Any) -> dict[str, Any]:
    """Return a spawn message for a program that ends at once; *fields* stand above."""
    log = {
        "app": "app",
        "generation": 1,
        "ordinal": 0,
        "id": 0,
        "output": "/dev/null",
        "error": "/dev/null",
        "combined": "",
        "format": "text",
        "date_format": "",
        "rotate_bytes": 0,
        "rotate_s": 0.0,
        "keep": 1,
    }
    message: dict[str, Any] = {
        "op": "spawn",
        "key": key,
        "meta": None,
        "argv": ["true"],
        "environment": {"PATH": os.environ["PATH"]},
        "directory": "/",
        "filtered": False,
        "targets": [],
        "log": log | fields.pop("log", {}),
    }
    return message | fields


def raw(message: dict[str, Any]) -> bytes:
    """Return a message as it travels."""
    return json.dumps(message).encode()
