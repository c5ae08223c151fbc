"""Start the apps at boot: install a unit of systemd(1), print it, or remove it.

With --unit agent, or --unit watch, it is that of an agent or a publisher, in systemd's
sandbox: it may write only where the configuration says.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator

from gapless.base import files, home, paths
from gapless.base.errors import DONE, GaplessError, MisuseError, NotFoundError
from gapless.cli import arguments
from gapless.cli.command_path import command_path
from gapless.cli.units import escaping, texts
from gapless.config.toml import fleets, tables

KINDS = ("supervise", "agent", "watch")

DATA = True
"""What it prints is the content of a file, or a value: a pipe gets it unchanged."""


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
        "--unit",
        choices=KINDS,
        default=KINDS[0],
        help="what it runs: the apps (supervise, the default), an agent, a publisher",
    )
    parser.add_argument(
        "--user-manager",
        action="store_true",
        help="a unit of your own systemd (systemctl --user), which needs no root",
    )
    parser.add_argument(
        "--low-ports",
        action="store_true",
        help="let the apps have ports below 1024 (CAP_NET_BIND_SERVICE)",
    )
    arguments.add_config(parser, otherwise="", table="release")
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
    # What `pm2 startup` has besides: the home directory of the user, in which .gapless is,
    # the name of the unit, and that it waits for the network.
    parser.set_defaults(user_home="", service="", wait_ip=False)


def run(args: argparse.Namespace) -> int:
    """Install, print or remove the unit."""
    user = _user(args.user)
    unit = _unit(args, user)
    if args.print:
        print(unit, end="")
        return DONE
    if args.user_manager:
        return _of_user_manager(args, user, unit)
    name = _unit_name(args.unit, user, args.service)
    path = f"{args.root}/etc/systemd/system/{name}"
    if os.geteuid() != 0 and not args.root:
        raise GaplessError(
            f"only root may write {path}",
            hint=f"sudo {shlex.join(_words(args, user))}",
        )
    if args.remove:
        return _remove(path, name, *_of_root(args.root))
    files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
    files.write_atomically(path, unit.encode(), files.SHARED_FILE)
    print(f"wrote {path}")
    if _systemctl("enable", name, *_of_root(args.root)):
        what = "the apps of" if args.unit == KINDS[0] else f"{args.unit} of"
        print(f"enabled: {what} {user.pw_name} are started at boot")
        print(f"hint: the unit begins at the next boot; now: systemctl start {name}")
    else:
        print("there is no systemctl here: enable the unit where there is one")
    return DONE


def _unit(args: argparse.Namespace, user: pwd.struct_passwd) -> str:
    of = texts.UnitOf(
        user=user.pw_name,
        home=_home(args, user),
        path=os.environ.get("PATH") or os.defpath,
        command=command_path(),
    )
    if args.user_manager and (args.unit != KINDS[0] or args.low_ports or args.root):
        raise MisuseError(
            "--user-manager is for the unit of the apps, and gives no rights",
            hint="without it the unit is one of the machine, which root installs",
        )
    if args.unit == KINDS[0] or args.remove:
        return texts.supervisor(
            of,
            in_user_manager=args.user_manager,
            online=args.wait_ip,
            low_ports=args.low_ports,
        )
    config = paths.absolute(args.config or "gapless.toml")
    write = texts.agent if args.unit == "agent" else texts.watch
    return write(
        of,
        config=config,
        writes=[of.home, *_written(config, args.unit)],
        after=_unit_name(KINDS[0], user),
    )


def _written(config: str, kind: str) -> Iterator[str]:
    """Yield the directories that an agent or a publisher writes.  Raises GaplessError."""
    declared = fleets.load(config, os.environ, with_secrets=False)
    if kind == "agent" and not declared:
        raise NotFoundError(f"{config} has no [rollout.NAME] for an agent to follow")
    for fleet in declared.values():
        yield fleet.release.base
        yield fleet.directory
        if fleet.copy:
            yield fleet.copy
    for release in tables.load_releases(config, os.environ).values():
        yield release.base


def _unit_name(kind: str, user: pwd.struct_passwd, service: str = "") -> str:
    if service:
        name = escaping.checked(service, "--service-name").removesuffix(".service")
        return f"{escaping.unit_name(name)}.service"
    of = "" if kind == KINDS[0] else f"{kind}-"
    return f"gapless-{of}{escaping.unit_name(user.pw_name)}.service"


def _words(args: argparse.Namespace, user: pwd.struct_passwd) -> list[str]:
    """Return the words with which root does the same."""
    if args.user_home or args.service or args.wait_ip:
        verb = "unstartup" if args.remove else "startup"
        words = [command_path(), "pm2", verb, "systemd", "-u", user.pw_name]
        words += ["--hp", os.path.abspath(args.user_home)] if args.user_home else []
        words += ["--service-name", args.service] if args.service else []
        return words + (["--wait-ip"] if args.wait_ip else [])
    words = [command_path(), "startup", "-u", user.pw_name]
    words += ["--low-ports"] if args.low_ports else []
    words += ["--home", _home(args, user)]
    if args.unit != KINDS[0]:
        words += [
            "--unit",
            args.unit,
            "-c",
            paths.absolute(args.config or "gapless.toml"),
        ]
    return words


def _of_user_manager(
    args: argparse.Namespace, user: pwd.struct_passwd, unit: str
) -> int:
    """Install or remove a unit of the user's own systemd."""
    if user.pw_uid != os.geteuid():
        raise MisuseError(
            f"the units of {user.pw_name}'s own systemd are installed by {user.pw_name}",
            hint=f"as {user.pw_name}: gapless startup --user-manager",
        )
    name, own = "gapless.service", ("--user",)
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = f"{base}/systemd/user/{name}"
    if args.remove:
        return _remove(path, name, *own)
    files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
    files.write_atomically(path, unit.encode(), files.SHARED_FILE)
    print(f"wrote {path}")
    if _systemctl("enable", name, *own):
        print("enabled: your apps are started when your systemd is")
        print(f"hint: now: systemctl --user start {name}")
        print(
            f"hint: at boot, without a login: sudo loginctl enable-linger {user.pw_name}"
        )
    else:
        print("there is no systemctl here: enable the unit where there is one")
    return DONE


def _remove(path: str, name: str, *where: str) -> int:
    if not os.path.exists(path):
        raise NotFoundError(f"there is no {path}")
    _systemctl("disable", name, *where)
    os.unlink(path)
    print(f"removed {path}; what runs serves on")
    return DONE


def _systemctl(verb: str, name: str, *where: str) -> bool:
    """Enable or disable a unit; return False without systemctl.  Raises GaplessError."""
    if shutil.which("systemctl") is None:
        return False
    done = subprocess.run(
        ["systemctl", *where, verb, "--", name],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GaplessError(
            f"systemctl could not {verb} {name}: {done.stderr.strip()}",
            hint="the unit file is there; is systemd the init of this machine?",
        )
    return True


def _of_root(root: str) -> tuple[str, ...]:
    return (f"--root={root}",) if root else ()


def _user(name: str) -> pwd.struct_passwd:
    wanted = name or os.environ.get("SUDO_USER", "")
    try:
        return pwd.getpwnam(wanted) if wanted else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise NotFoundError(f"there is no user {wanted!r}") from None


def _home(args: argparse.Namespace, user: pwd.struct_passwd) -> str:
    if args.user_home:
        return f"{os.path.abspath(args.user_home)}/.gapless"
    if args.home:
        return str(os.path.abspath(args.home))
    if user.pw_uid == os.geteuid():
        return home.path()
    return f"{user.pw_dir}/.gapless"
