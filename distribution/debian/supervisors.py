"""What the scripts of the package do about supervisors that run from /usr/lib/gapless.

`upgrade` replaces each by the version that is installed; `refuse` ends with 1 if there is
one.  Supervisors of other installs are left alone.  What a process of a user says of itself
is not trusted: all that is done for it is done as that user.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PLACE = "/usr/lib/gapless"
COMMAND = "/usr/bin/gapless"
TITLE = b"gapless supervise"
ASK_S, UPGRADE_S = 20, 180
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASK = f"""\
import sys
sys.path.insert(0, {PLACE!r})
from gapless.client import Client
print((Client(starts=False).ping(10) or {{}}).get("package"))
"""


@dataclass(frozen=True)
class Supervisor:
    """A process that calls itself a supervisor."""

    uid: int
    home: str

    @property
    def user(self) -> str:
        """Return the name of its user."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def run(self, argv: list[str], seconds: int) -> subprocess.CompletedProcess[str]:
        """Run a command as its user.  Raises OSError, SubprocessError."""
        try:
            found = pwd.getpwuid(self.uid)
            group, groups = found.pw_gid, os.getgrouplist(found.pw_name, found.pw_gid)
        except KeyError:
            group, groups = self.uid, []
        return subprocess.run(
            argv,
            cwd="/",
            env={"PATH": _PATH, "GAPLESS_HOME": self.home, "LC_ALL": "C.UTF-8"},
            user=self.uid,
            group=group,
            extra_groups=groups,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )

    def is_ours(self) -> bool:
        """Return whether it answers, and runs from this package."""
        try:
            done = self.run([sys.executable, "-I", "-c", _ASK], ASK_S)
        except (OSError, subprocess.SubprocessError):
            return False
        return done.stdout.strip() == PLACE


def found() -> Iterator[Supervisor]:
    """Yield the supervisors of this system that run from this package."""
    seen = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            each = _look(f"/proc/{name}")
        except OSError:
            continue  # it has ended
        if each and each not in seen:
            seen.add(each)
            if each.is_ours():
                yield each


def _look(process: str) -> Supervisor | None:
    with open(f"{process}/cmdline", "rb") as file:
        if not file.read(len(TITLE) + 1).startswith(TITLE):
            return None
    own, its = os.stat("/"), os.stat(f"{process}/root")
    if (own.st_dev, own.st_ino) != (its.st_dev, its.st_ino):
        return None  # it is in a container, and so is its install
    with open(f"{process}/environ", "rb") as file:
        pairs = [line.partition(b"=") for line in file.read().split(b"\0")]
    variables = {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}
    home = variables.get("GAPLESS_HOME") or f"{variables.get('HOME', '')}/.gapless"
    uid = os.stat(process).st_uid
    return Supervisor(uid, home) if home.startswith("/") else None


def upgrade() -> int:
    """Replace each; one that cannot be replaced goes on as it was."""
    for each in found():
        whose = f"gapless of {each.user} ({each.home})"
        try:
            done = each.run([COMMAND, "upgrade"], UPGRADE_S)
            said, failed = done.stdout + done.stderr, done.returncode
        except (OSError, subprocess.SubprocessError) as error:
            said, failed = f"{error}\n", 1
        lines = "".join(c for c in said if c == "\n" or c.isprintable()).splitlines()
        print("\n".join(f"{whose}: {line}" for line in lines[:20]))
        if failed:
            print(f"{whose}: it was not upgraded, and goes on as it was")
            print("hint: gapless upgrade, as that user")
    return 0


def refuse() -> int:
    """Say who uses the package; return 1 if somebody does."""
    users = list(found())
    for each in users:
        print(
            f"gapless runs the apps of {each.user} (GAPLESS_HOME={each.home}): "
            "it is not removed",
            file=sys.stderr,
        )
    if users:
        print(
            "hint: end them with `gapless shutdown` as that user, or let another "
            "install take over: its `gapless upgrade`",
            file=sys.stderr,
        )
    return 1 if users else 0


if __name__ == "__main__":
    sys.exit({"upgrade": upgrade, "refuse": refuse}[sys.argv[1]]())
