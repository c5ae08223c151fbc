"""What the scripts of the package do about supervisors that run from /usr/lib/gapless.

`upgrade` replaces each by the version that is installed; `refuse` ends with 1 if there is
one, or one that does not say where it runs from.  Supervisors of other installs are left
alone.  A keeper whose supervisor has died counts as one that does not say it.

What a process of a user says of itself is not trusted: all that is done for it is done as
that user, and a user of whom one did not answer, or failed, is waited for no more.
"""

from __future__ import annotations

import io
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PLACE = "/usr/lib/gapless"
COMMAND = "/usr/bin/gapless"
TITLES = (b"gapless supervise", b"gapless keeper")
_LONGEST_TITLE_BYTES, _MOST_LINES = 32, 20
ASK_S, UPGRADE_S = 20, 180
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASK = f"""\
import sys
sys.path.insert(0, {PLACE!r})
from gapless.client import Client
print((Client(starts=False).ping(10) or {{}}).get("package", ""))
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
        """Run a command as its user, without root's terminal.

        Raises OSError, SubprocessError.
        """
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
            start_new_session=True,  # else it could type into root's terminal: TIOCSTI
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )

    def place(self) -> str:
        """Return the directory that it runs from; empty if it does not say it."""
        try:
            done = self.run([sys.executable, "-I", "-c", _ASK], ASK_S)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()


def found() -> Iterator[tuple[Supervisor, bool]]:
    """Yield the supervisors that run from this package, or may; whether they said it."""
    seen, silent = set(), set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            each = _look(f"/proc/{name}")
        except OSError:
            continue  # it has ended
        if each and each not in seen:
            seen.add(each)
            place = "" if each.uid in silent else each.place()
            if not place:
                silent.add(each.uid)
            if place in ("", PLACE):
                yield each, bool(place)


def _look(process: str) -> Supervisor | None:
    with open(f"{process}/cmdline", "rb") as file:
        if not file.read(_LONGEST_TITLE_BYTES).startswith(TITLES):
            return None
    own, its = os.stat("/"), os.stat(f"{process}/root")
    if (own.st_dev, own.st_ino) != (its.st_dev, its.st_ino):
        return None  # it is in a container, and so is its install
    with open(f"{process}/environ", "rb") as file:
        pairs = [line.partition(b"=") for line in file.read().split(b"\0")]
    variables = {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}
    home = variables.get("GAPLESS_HOME") or f"{variables.get('HOME', '')}/.gapless"
    uid = _uid(process)
    return Supervisor(uid, home) if uid is not None and home.startswith("/") else None


def _uid(process: str) -> int | None:
    """Return the user of a process; None for a program that is set-id."""
    with open(f"{process}/status", encoding="utf-8", errors="replace") as file:
        (line,) = (each for each in file if each.startswith("Uid:"))
    uids = set(line.split()[1:])
    return int(uids.pop()) if len(uids) == 1 else None


def _plain(text: str) -> str:
    """Return a text without what a terminal would act on."""
    return "".join(each for each in text if each == "\n" or each.isprintable())


def upgrade() -> int:
    """Replace each; one that cannot be replaced goes on as it was."""
    failing: set[int] = set()
    for each, answers in found():
        whose = _plain(f"gapless of {each.user} ({each.home})")
        if not answers or each.uid in failing:
            print(f"{whose}: it did not answer or another failed: it goes on as it is")
            print("hint: if it is this package's: gapless upgrade, as that user")
            continue
        try:
            done = each.run([COMMAND, "upgrade"], UPGRADE_S)
            said, failed = done.stdout + done.stderr, done.returncode
        except (OSError, subprocess.SubprocessError) as error:
            said, failed = f"{error}\n", 1
        lines = _plain(said).splitlines()[:_MOST_LINES]
        print("\n".join(f"{whose}: {line}" for line in lines))
        if failed:
            failing.add(each.uid)
            print(f"{whose}: it was not upgraded, and goes on as it was")
            print("hint: gapless upgrade, as that user")
    return 0


def refuse() -> int:
    """Say who uses the package; return 1 if somebody does."""
    users = list(found())
    for each, answers in users:
        whose = _plain(f"{each.user} (GAPLESS_HOME={each.home})")
        how = "" if answers else ", and does not answer"
        print(
            f"gapless runs the apps of {whose}{how}: it is not removed",
            file=sys.stderr,
        )
    if users:
        print(
            "hint: end them with `gapless shutdown` as that user, or let another "
            "install take over: its `gapless upgrade`",
            file=sys.stderr,
        )
    return 1 if users else 0


def main(action: str) -> int:
    """Upgrade or refuse; what the locale of root cannot print becomes a `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    return {"upgrade": upgrade, "refuse": refuse}[action]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
