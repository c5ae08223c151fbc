"""An app that serves from releases, and what is true of it on disk and in the list."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from rig import wait
from rig.hosts import control
from rig.hosts.host import COMMAND_S, Host

DYING = Path(__file__).parent / "dying.py"
FIRST_STAMP = 20260101000000
RELEASE_FILES = {"RELEASE", "VERSION", "app.py"}
IN_WORK = {"lock", "settling", "reserve"}
PROGRAM = """
import os, select, signal, socket
version = open("VERSION").read()
if version.startswith("bad"):
    raise SystemExit(3)
woken, wakes = os.pipe()
os.set_blocking(wakes, False)
signal.set_wakeup_fd(wakes)
signal.signal(signal.SIGTERM, lambda *_: None)
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=128)
listener.setblocking(False)
body = f"release {version} pid {os.getpid()}\\n".encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n"
while True:
    if woken in select.select([listener, woken], [], [])[0]:
        raise SystemExit
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    with connection:
        connection.settimeout(5)
        try:
            while b"\\r\\n\\r\\n" not in (connection.recv(4096) or b"\\r\\n\\r\\n"):
                pass
            connection.sendall(head % len(body) + body)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            pass
"""


class Site:
    """A host with an app `shop`, whose first releases are there already."""

    def __init__(self, host: Host, releases: int) -> None:
        """Start the app from the newest of *releases* releases."""
        self.host, self.base = host, host.directory / "dfs"
        self.dist, self.inbox = self.base / "dist", self.base / "src"
        self.version = 0
        """The newest version that was packed."""
        self.port = wait.free_port()
        self.inbox.mkdir(parents=True)
        self.dist.mkdir()
        for _ in range(releases):
            self.add_release()
        (self.dist / "shop").symlink_to(self.path_of(self.version))
        host.configure(
            f'[app.shop]\ncommand = ["{sys.executable}", "-S", "-E", "app.py"]\n'
            'directory = "dfs/dist/shop"\nmin_healthy_s = 0.1\n'
            f"environment = {{ PORT = {self.port} }}\n"
            '[release.shop]\nbase = "dfs"\nbuild = []\nkeep = 9999\n'
        )
        host.ok("start", "gapless.toml")
        wait.until(lambda: self.host.row("shop")["addresses"], "shop to listen", 60)

    # --- releases and uploads ---------------------------------------------------------

    def path_of(self, version: int) -> Path:
        """Return where a release that was made here by hand is."""
        return self.dist / f"shop-{FIRST_STAMP + version}"

    def add_release(self) -> None:
        """Make a release without gapless."""
        self.version += 1
        path = self.path_of(self.version)
        path.mkdir()
        (path / "RELEASE").write_text(f"{FIRST_STAMP + self.version}\n")
        (path / "VERSION").write_text(str(self.version))
        (path / "app.py").write_text(PROGRAM)

    def pack(self, path: Path, version: str) -> Path:
        """Write the tarball of a version."""
        beside = self.host.directory / "packed.tar.gz"
        with tarfile.open(beside, "w:gz", compresslevel=1) as archive:
            for name, content in (("VERSION", version), ("app.py", PROGRAM)):
                member = tarfile.TarInfo(f"shop/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
        os.replace(beside, path)
        return path

    def add_checksum(self, upload: Path) -> None:
        """Write the checksum file of an upload, as `gapless push` does."""
        digest = hashlib.sha256(upload.read_bytes()).hexdigest()
        Path(f"{upload}.sha256").write_text(f"{digest}  {upload.name}\n")

    # --- commands ---------------------------------------------------------------------

    def run_dying(self, number: int, words: tuple[str, ...]) -> tuple[int, list[str]]:
        """Run a command that dies after an effect; return its exit code and effects."""
        trace = self.host.directory / "trace"
        trace.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, str(DYING), str(trace), str(number), *words],
            cwd=self.host.directory,
            env=self.host.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return done.returncode, trace.read_text().splitlines()

    # --- facts ------------------------------------------------------------------------

    def serving(self) -> str:
        """Return the version of the one generation that serves, in the end."""

        def settled() -> str:
            described = control.ask(self.host.home, "describe", app="shop")
            generations = described["generations"] if described else []
            if [each["role"] for each in generations] != ["serving"]:
                return ""
            return str(Path(generations[0]["directory"], "VERSION").read_text())

        return wait.until(settled, "one generation that serves", 30)

    def linked(self) -> str:
        """Return the version that the link names."""
        return (self.dist / "shop" / "VERSION").read_text()

    def outcome(self, upload: str) -> str:
        """Return the stage of an upload, as a pusher reads it; empty if there is none."""
        path = self.base / "outcomes" / f"{upload}.json"
        if not path.exists():
            return ""
        record: dict[str, Any] = json.loads(path.read_text())
        found = record.get("value", record)
        return str(found["stage"])

    def left_over(self) -> list[str]:
        """Return everything that nothing needs any more."""
        work = self.dist / ".gapless-shop"
        found = list(self.base.rglob("*.part"))
        found += [path for path in work.iterdir() if path.name not in IN_WORK]
        found += self.inbox.iterdir()
        for path in self.dist.iterdir():
            if path.name.startswith("shop-"):
                names = {each.name for each in path.iterdir()}
                found += [path / name for name in names ^ RELEASE_FILES]
            elif path.name not in ("shop", work.name):
                found.append(path)
        reports = self.base / "reports" / "shop"
        if reports.is_dir():
            made = {path.name for path in self.dist.iterdir()}
            found += [path for path in reports.iterdir() if path.name not in made]
        return sorted(str(path.relative_to(self.base)) for path in found)
