"""Have the apps back after a boot: install a unit of systemd(1), or print it."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys

from gapless.base import home
from gapless.base.errors import GaplessError, NotFoundError

UNIT = """\
[Unit]
Description=gapless: the apps of {user}
After=network.target

[Service]
User={user}
Environment=GAPLESS_HOME={home}
Environment=PATH={path}
ExecStart={command} supervise
ExecStop={command} shutdown
TimeoutStopSec=120
Restart=always
# Else systemd would end keeper and apps together with a supervisor that crashed.
KillMode=process
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `startup` understands."""
    parser.add_argument("system", nargs="?", choices=["systemd"], default="systemd")
    parser.add_argument("-u", "--user", default="", help="whose apps; default: yours")
    parser.add_argument(
        "--home", "--hp", default="", metavar="DIR", help="GAPLESS_HOME of that user"
    )
    parser.add_argument("--print", action="store_true", help="only print the unit")
    parser.add_argument("--remove", action="store_true", help="take the unit away")
    parser.add_argument(
        "--root", default="", metavar="DIR", help="the root of an image, for /"
    )


def run(asked: argparse.Namespace) -> int:
    """Install, print or remove the unit."""
    user = _user(asked.user)
    unit = UNIT.format(
        user=user.pw_name,
        home=_home(asked.home, user),
        path=os.environ.get("PATH", os.defpath),
        command=_command(),
    )
    if asked.print:
        print(unit, end="")
        return 0
    name = f"gapless-{user.pw_name}.service"
    path = f"{asked.root}/etc/systemd/system/{name}"
    if os.geteuid() != 0 and not asked.root:
        raise GaplessError(
            f"only root may write {path}",
            hint=f"sudo {_command()} startup -u {user.pw_name} "
            f"--home {_home(asked.home, user)}",
        )
    if asked.remove:
        return _remove(path, name, asked.root)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(unit)
    print(f"wrote {path}")
    if _systemctl(asked.root, "enable", name):
        print(f"enabled: the apps of {user.pw_name} come back after a boot")
        print(f"hint: it takes over at the next boot, or: systemctl start {name}")
    else:
        print("there is no systemctl here: enable the unit where there is one")
    return 0


def _remove(path: str, name: str, root: str) -> int:
    if not os.path.exists(path):
        raise NotFoundError(f"there is no {path}")
    _systemctl(root, "disable", name)
    os.unlink(path)
    print(f"removed {path}; what runs serves on")
    return 0


def _systemctl(root: str, verb: str, name: str) -> bool:
    """Enable or disable a unit; tell whether systemctl is here.  Raises GaplessError."""
    if shutil.which("systemctl") is None:
        return False
    where = [f"--root={root}"] if root else []
    done = subprocess.run(
        ["systemctl", *where, verb, name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise GaplessError(
            f"systemctl could not {verb} {name}: {done.stderr.strip()}",
            hint="the file is there; is systemd the init of this machine?",
        )
    return True


def _user(name: str) -> pwd.struct_passwd:
    wanted = name or os.environ.get("SUDO_USER", "")
    try:
        return pwd.getpwnam(wanted) if wanted else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise NotFoundError(f"there is no user {wanted!r}") from None


def _home(asked: str, user: pwd.struct_passwd) -> str:
    if asked:
        return os.path.abspath(asked)
    if user.pw_uid == os.geteuid():
        return home.path()
    return f"{user.pw_dir}/.gapless"


def _command() -> str:
    """Return how this command is called, by its whole path."""
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) == "gapless" and os.access(own, os.X_OK):
        return own
    return os.path.join(os.path.dirname(sys.executable), "gapless")
