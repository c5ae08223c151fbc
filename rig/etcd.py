"""A real etcd of one member, on free ports of this machine, in a directory of its own."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

from rig import wait


class Etcd:
    """Runs until it is stopped; may be killed and started again."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        scheme: str = "http",
        host: str = "127.0.0.1",
    ) -> None:
        self._directory, self._options = directory, options
        self.port, self._peer = wait.free_port(), wait.free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._listens_on = f"{scheme}://{host}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(exist_ok=True)

    def start(self) -> Etcd:
        """Start it; return when it answers."""
        peer = f"http://127.0.0.1:{self._peer}"
        log = (self._directory / "etcd.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    "etcd",
                    f"--data-dir={self._directory}/data",
                    f"--listen-client-urls={self._listens_on}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )
        wait.until(self._is_up, f"etcd on {self.url}", 30)
        return self

    def _is_up(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except http.client.HTTPException:
            return True  # it speaks TLS
        except OSError:
            return self.url.startswith("https:") and self._listens()
        finally:
            connection.close()

    def _listens(self) -> bool:
        log = (self._directory / "etcd.log").read_text(errors="replace")
        return "ready to serve client requests" in log

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None
