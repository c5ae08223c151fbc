"""Where the app of a crash point serves: a TCP port, or a Unix-domain path."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

_LISTENS, _ACCEPTS = "0A", 0x10000
"""TCP_LISTEN in /proc/net/tcp, __SO_ACCEPTCON in /proc/net/unix."""


@dataclass(frozen=True, slots=True)
class Address:
    """One of both; a port is free in any case."""

    port: int
    other: int
    """A port for the app beside it, if there is one."""
    path: Path | None = None

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connection.  Raises OSError."""
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout_s)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(timeout_s)
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def listening(self) -> set[str]:
        """Return the inodes of the sockets that listen there, under any name."""
        if self.path is None:
            ending = f":{self.port:04X}"
            rows = _rows("tcp")
            return {r[9] for r in rows if r[3] == _LISTENS and r[1].endswith(ending)}
        named = (row for row in _rows("unix") if len(row) > 7)
        return {
            row[6]
            for row in named
            if int(row[3], 16) & _ACCEPTS and row[7].startswith(str(self.path))
        }

    def names(self) -> set[str]:
        """Return what lies in the directory of the path; each number is one `#`."""
        if self.path is None:
            return set()
        return {re.sub(r"\d+", "#", each.name) for each in self.path.parent.iterdir()}


def _rows(table: str) -> list[list[str]]:
    lines = Path(f"/proc/net/{table}").read_text().splitlines()
    return [line.split() for line in lines[1:]]
