"""The app that every tool releases: one small program, each version of it other code."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rig.hosts.host import SERVERS
from rig.programs.numbered import SOURCES
from rig.wait import answers, free_port, until

PYTHON = str(SERVERS / "python")
START_S = 60.0
INSTANCES = 2
"""So many processes serve, whatever the tool."""
VERSIONS = {
    "node": ("entry.js", "process.env.RELEASE = '{version}';\nrequire('./app.js');\n"),
    "asgi": (
        "entry.py",
        "import os\nos.environ['RELEASE'] = '{version}'\nfrom asgi import app\n",
    ),
    "wsgi": (
        "entry.py",
        "import os\nos.environ['RELEASE'] = '{version}'\nfrom wsgi import app\n",
    ),
}
BROKEN = {
    "node": "throw new Error('broken on purpose');\n",
    "asgi": "raise RuntimeError('broken on purpose')\n",
    "wsgi": "raise RuntimeError('broken on purpose')\n",
}
BARE = {
    "node": ["node", "entry.js"],
    "asgi": [
        *(PYTHON, "-m", "uvicorn", "--no-access-log"),
        "--port",
        "PORT",
        "entry:app",
    ],
    "wsgi": [
        *(str(SERVERS / "gunicorn"), "-b", "127.0.0.1:PORT", "--threads", "8"),
        "entry:app",
    ],
}
"""The program with nothing above it."""


def argv(words: Sequence[str], port: int) -> list[str]:
    """Return a command that listens on a port."""
    return [word.replace("PORT", str(port)) for word in words]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The program in a directory of its own, and its port."""

    kind: str
    """One of VERSIONS."""
    directory: Path
    port: int

    @classmethod
    def make(cls, kind: str, directory: Path) -> App:
        """Write its first version."""
        shutil.copytree(SOURCES, directory)
        made = cls(kind=kind, directory=directory, port=free_port())
        made.write("1")
        return made

    def write(self, version: str) -> None:
        """Put the code of another version in place, whole or not at all."""
        name, text = VERSIONS[self.kind]
        self._place(name, text.format(version=version))

    def break_it(self) -> None:
        """Put code in place that cannot start."""
        self._place(VERSIONS[self.kind][0], BROKEN[self.kind])

    def environment(self) -> dict[str, str]:
        """Return what its processes have to be told."""
        return {
            "PORT": str(self.port),
            "NUMBERS": str(self.directory / "numbers"),
            # Python knows a changed file by its size and its second.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def bare_start_s(self) -> float:
        """Start it with nothing above it; return after how many seconds it answers."""
        port = free_port()
        began = time.monotonic()
        process = subprocess.Popen(
            argv(BARE[self.kind], port),
            cwd=self.directory,
            env=os.environ | self.environment() | {"PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: answers(port), "the bare app", START_S)
            return time.monotonic() - began
        finally:
            process.terminate()
            process.wait(START_S)

    def _place(self, name: str, text: str) -> None:
        new = self.directory / f"{name}.new"
        new.write_text(text)
        new.replace(self.directory / name)
