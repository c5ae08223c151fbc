"""A Debian that has Python and Node, and nothing of gapless: made once by debootstrap.

Each test has a copy, and runs commands in it with chroot(8).  Needs root.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import debian
from rig.hosts.host import ROOT

BUILD = ROOT / "build" / "debian"
PACKAGES = ("python3", "python3-venv", "nodejs")
USER, USER_ID = "deploy", 1500
"""The user whose apps run; the id is that of nobody outside."""
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
}
_COMMAND_S = 300
_IGNORED = ("proc", "dev", "tmp", "var/lib/dpkg", "var/log", "var/cache", "home")
"""Where dpkg and the tests write for themselves."""


class Tree:
    """A copy in which packages are installed and apps run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, *argv: str, user: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, and return what it printed and its exit code."""
        become = (
            ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
            if user
            else ()
        )
        return subprocess.run(
            ["chroot", str(self.root), *become, *argv],
            env=_ENVIRONMENT | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )

    def ok(self, *argv: str, user: int = 0, **variables: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        done = self.run(*argv, user=user, **variables)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def files(self) -> set[str]:
        """Return every path in it, but for those that dpkg itself writes."""
        found = set()
        for directory, inside, names in os.walk(self.root):
            above = os.path.relpath(directory, self.root)
            paths = {
                each: os.path.normpath(f"{above}/{each}") for each in (*inside, *names)
            }
            inside[:] = [each for each in inside if paths[each] not in _IGNORED]
            found |= set(paths.values())
        return found


@contextmanager
def copied(to: Path) -> Iterator[Tree]:
    """Copy the tree; when the block ends, unmount what was mounted in the copy."""
    source = _made()
    subprocess.run(["cp", "-a", str(source), str(to)], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", str(to / "proc")], check=True)
    try:
        yield Tree(to)
    finally:
        subprocess.run(["umount", str(to / "proc")], check=True)
        shutil.rmtree(to)


def _made() -> Path:
    """Return the tree, which is made if there is none."""
    site, codename = debian.archive()
    what = f"{site} {codename} {PACKAGES} {USER_ID}"
    tree = BUILD / f"tree-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (tree / "made").exists():
            shutil.rmtree(tree, ignore_errors=True)
            included = f"--include={','.join(PACKAGES)}"
            command = ["debootstrap", "--variant=minbase", included]
            subprocess.run(
                [*command, codename, str(tree), site],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            made = Tree(tree)
            made.ok("useradd", "--create-home", f"--uid={USER_ID}", USER)
            made.ok("apt-get", "clean")
            (tree / "made").touch()
    return tree
