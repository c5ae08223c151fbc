"""Start the apps at boot: install a unit of systemd(1), print it, or remove it."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess

from gapless.base import files, home
from gapless.base.errors import DONE, GaplessError, NotFoundError
from gapless.cli.command_path import command_path

UNIT = """\
[Unit]
Description=gapless: the apps of {user}
After=network.target

[Service]
User={user}
Environment=GAPLESS_HOME={home}
Environment=PATH={path}
ExecStart={command} supervise
# `systemctl stop` and the end of the machine end the apps; `systemctl restart` does not:
# the next supervisor takes over what serves.
ExecStop={command} shutdown --if-stopped %n
TimeoutStopSec=120
Restart=always
# The exit code after `gapless shutdown`: what was shut down stays so until it is started.
RestartPreventExitStatus=10
SuccessExitStatus=10
# Without it systemd would end the keeper and the apps when the supervisor ends.
KillMode=process
# Each instance has a control group of its own, so that none of its processes is missed.
Delegate=yes
# `limits` of memory and processor time: while they are kept no process may start in the
# group of the unit.  The next supervisor sets them again.
Environment=GAPLESS_CGROUPS=limits
ExecStopPost=-{command} supervise --withdraw-limits
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `startup`."""
    parser.add_argument("system", nargs="?", choices=["systemd"], default="systemd")
    parser.add_argument(
        "-u",
        "--user",
        default="",
        help="the user whose apps are started; default: SUDO_USER, or you",
    )
    parser.add_argument(
        "--home",
        "--hp",
        default="",
        metavar="DIR",
        help="GAPLESS_HOME of that user; "
        "default: yours for yourself, else ~/.gapless of that user",
    )
    parser.add_argument(
        "--print", action="store_true", help="print the unit, install nothing"
    )
    parser.add_argument(
        "--remove", action="store_true", help="remove the unit; what runs serves on"
    )
    parser.add_argument(
        "--root",
        default="",
        metavar="DIR",
        help="the root directory of an image (default: /)",
    )


def run(args: argparse.Namespace) -> int:
    """Install, print or remove the unit."""
    user = _user(args.user)
    unit = UNIT.format(
        user=user.pw_name,
        home=_home(args.home, user),
        path=os.environ.get("PATH", os.defpath),
        command=command_path(),
    )
    if args.print:
        print(unit, end="")
        return DONE
    name = f"gapless-{user.pw_name}.service"
    path = f"{args.root}/etc/systemd/system/{name}"
    if os.geteuid() != 0 and not args.root:
        raise GaplessError(
            f"only root may write {path}",
            hint=f"sudo {command_path()} startup -u {user.pw_name} "
            f"--home {_home(args.home, user)}",
        )
    if args.remove:
        return _remove(path, name, args.root)
    files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
    files.write_atomically(path, unit.encode(), files.SHARED_FILE)
    print(f"wrote {path}")
    if _systemctl(args.root, "enable", name):
        print(f"enabled: the apps of {user.pw_name} are started at boot")
        print(f"hint: the unit begins at the next boot; now: systemctl start {name}")
    else:
        print("there is no systemctl here: enable the unit where there is one")
    return DONE


def _remove(path: str, name: str, root: str) -> int:
    if not os.path.exists(path):
        raise NotFoundError(f"there is no {path}")
    _systemctl(root, "disable", name)
    os.unlink(path)
    print(f"removed {path}; what runs serves on")
    return DONE


def _systemctl(root: str, verb: str, name: str) -> bool:
    """Enable or disable a unit; return False without systemctl.  Raises GaplessError."""
    if shutil.which("systemctl") is None:
        return False
    where = [f"--root={root}"] if root else []
    done = subprocess.run(
        ["systemctl", *where, verb, name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise GaplessError(
            f"systemctl could not {verb} {name}: {done.stderr.strip()}",
            hint="the unit file is there; is systemd the init of this machine?",
        )
    return True


def _user(name: str) -> pwd.struct_passwd:
    wanted = name or os.environ.get("SUDO_USER", "")
    try:
        return pwd.getpwnam(wanted) if wanted else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise NotFoundError(f"there is no user {wanted!r}") from None


def _home(given: str, user: pwd.struct_passwd) -> str:
    if given:
        return os.path.abspath(given)
    if user.pw_uid == os.geteuid():
        return home.path()
    return f"{user.pw_dir}/.gapless"
