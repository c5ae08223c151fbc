"""What npm installs for the tests: once for each lock file, however many tests run."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from rig.hosts.host import ROOT

INSTALLED = ROOT / "build" / "npm"
FILES = ("package.json", "package-lock.json")


def node_modules(package: Path) -> Path:
    """Return a node_modules with what the lock file of a package names.

    Tests share it, and link to it; nothing may be written into it.
    """
    locked = (package / "package-lock.json").read_bytes()
    directory = INSTALLED / hashlib.sha256(locked).hexdigest()[:12]
    directory.mkdir(parents=True, exist_ok=True)
    found, complete = directory / "node_modules", directory / "complete"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            for name in FILES:
                shutil.copy(package / name, directory)
            command = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=directory, check=True, timeout=300)
            complete.touch()
    return found
