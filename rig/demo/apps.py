"""The three examples that the demo releases, and how each is broken."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rig.hosts.host import ROOT

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoApp:
    """How an example is configured; the texts are values and lines of TOML."""

    command: str
    """May contain {port}."""
    settings: str
    build: str
    broken_file: str
    broken_text: str
    """What the file holds in the broken release."""
    why: str
    """How the broken release fails."""

    def configuration(self, name: str, port: int) -> str:
        """Return the tables of the app in gapless.toml."""
        return (
            f"[app.{name}]\n"
            f"command = {self.command.format(port=port)}\n"
            f'directory = "dfs/dist/{name}"\n'
            f"environment = {{ PORT = {port} }}\n"
            f"{self.settings}\n\n"
            f'[release.{name}]\nbase = "dfs"\n{self.build}\n'
        )

    def pack(self, directory: Path, name: str, version: str, *, broken: bool) -> str:
        """Pack the example as a release in a directory; return the tarball's name."""
        tarball = f"{name}.tar.gz"
        with tarfile.open(directory / tarball, "w:gz") as archive:
            for path in sorted((EXAMPLES / name).iterdir()):
                if path.is_file() and path.name not in ("VERSION", "gapless.toml"):
                    archive.add(path, f"{name}/{path.name}")
            _add(archive, f"{name}/VERSION", version)
            if broken:
                _add(archive, f"{name}/{self.broken_file}", self.broken_text)
        return tarball


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(text.encode()))


DEMO_APPS = {
    "asgi": DemoApp(
        command='[".venv/bin/python", "-m", "uvicorn", "app:app", "--no-access-log", '
        '"--port", "{port}"]',
        settings="instances = 2",
        build='build = ["./build.sh"]',
        broken_file="app.py",
        broken_text='raise RuntimeError("this release is broken")\n',
        why="crashes while it starts",
    ),
    "node": DemoApp(
        command='["node", "index.js"]',
        settings='instances = 2\nready = { http = "/health", timeout_s = 5 }',
        build="",
        broken_file="index.js",
        broken_text="const answer = (q, r) => { r.writeHead(500); r.end(); };"
        "require('http').createServer(answer).listen(process.env.PORT, '127.0.0.1');",
        why="answers its probe with 500",
    ),
    "perl": DemoApp(
        command='["perl", "app.pl"]',
        settings="ready = { timeout_s = 3 }",
        build="build = []",
        broken_file="app.pl",
        broken_text="sleep 1 while 1; # it never listens\n",
        why="never listens",
    ),
}
