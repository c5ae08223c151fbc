"""Check what this machine supports, and print what works without the rest."""

from __future__ import annotations

import argparse
import os
import resource
import socket
from collections.abc import Callable

from gapless.base import home
from gapless.base.errors import DONE, FAILED
from gapless.base.kernel import cgroups
from gapless.base.outside import own_directory
from gapless.cli import arguments, output
from gapless.cli.this_host import limits
from gapless.cli.upgrade import running
from gapless.client import Client
from gapless.keeper.seccomp import trial
from gapless.supervisor.kernel import sock_diag
from gapless.supervisor.observe import instance_groups
from gapless.supervisor.sockets import steering


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Try every mechanism; exit code 1 if one does not work."""
    rows: list[dict[str, object]] = [
        {"what": what, "trouble": _trouble(check), "without": without}
        for what, check, without in CHECKS
    ]
    failed = any(row["trouble"] for row in rows)
    rows.append(
        {
            "what": GROUPS,
            "trouble": _trouble(_groups),
            "without": WITHOUT_GROUPS,
            "optional": True,
        }
    )
    trusted = own_directory.fault(home.path()) is None
    unlimited = limits.why_unavailable(Client(starts=False)) if trusted else {}
    rows += [
        {
            "what": f"limits of instances: {key}",
            "trouble": unlimited.get(name),
            "without": WITHOUT_LIMITS,
            "optional": True,
        }
        for name, key in KEYS.items()
    ]
    rows.append(
        {
            "what": "what runs is of the version that is installed",
            "trouble": _other_version() if trusted else None,
            "without": "run `gapless upgrade`: it loses nothing",
            "optional": True,
        }
    )
    if args.json:
        output.print_json(rows)
    else:
        for row in rows:
            good = row["trouble"] is None
            mark = (
                output.paint("ok", "green") if good else output.paint("missing", "red")
            )
            print(f"{mark:<8} {row['what']}")
            if not good:
                print(f"         {row['trouble']}; without it: {row['without']}")
    return FAILED if failed else DONE


GROUPS = "a control group for each instance: who belongs to it, whatever it forks"
WITHOUT_GROUPS = (
    "instances are known by session, parents, start times and logs; a unit with "
    "Delegate=yes, or root, has groups"
)
"""The other way works as well, so a machine without groups is not at fault."""
KEYS = {"memory": "limits.memory_mb", "cpu": "limits.cpu_percent"}
WITHOUT_LIMITS = "apps that ask for it run without it, and are told so"


def _other_version() -> str | None:
    found = running.ask(Client(starts=False))
    return (running.trouble(found) or None) if found else None


def _trouble(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _linux() -> str | None:
    return None if os.uname().sysname == "Linux" else f"this is {os.uname().sysname}"


def _steering() -> str | None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        steering.attach(sock, steering.steer_to(0))
    return None


def _home() -> str | None:
    path = home.path()
    if found := own_directory.fault(path):
        return f"{path} is not used: {found.reason}"
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return None if os.access(path, os.W_OK) else f"{path} cannot be written to"


def _groups() -> str | None:
    return instance_groups.why_unavailable(cgroups.find()) or None


def _open_files() -> str | None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft >= 1024 else f"the limit is {soft} (hard {hard})"


CHECKS: list[tuple[str, Callable[[], str | None], str]] = [
    ("Linux", _linux, "there is no supervisor; the drain library runs anywhere"),
    (
        "bind interception: any program, unmodified",
        trial.why_unavailable,
        'configure the addresses: listen = ["127.0.0.1:8000"], and {fd} or LISTEN_FDS',
    ),
    (
        "steering of an SO_REUSEPORT group",
        _steering,
        "no handoff: two generations cannot share an address",
    ),
    (
        "evidence of connections (sock_diag)",
        lambda: sock_diag.why_unavailable() or None,
        "an old generation ends only when its drain_timeout_s is over, and reports do "
        "not know what was cut; recycles (overlap = false) and `outgoing` are refused",
    ),
    (
        "GAPLESS_HOME can be written to",
        _home,
        "set GAPLESS_HOME to a directory of yours",
    ),
    ("1024 open files or more", _open_files, "raise it with ulimit -n"),
]
