"""What PM2's verbs do about a machine and its daemon: startup, save, update, kill."""

from __future__ import annotations

import contextlib
import os

from gapless.base import files
from gapless.base.errors import GaplessError, MisuseError
from gapless.cli import output
from gapless.cli.pm2 import ours
from gapless.cli.pm2.words import Words
from gapless.client import Client

_INIT_SYSTEMS = (
    *("upstart", "systemv", "launchd", "rcd", "rcd-openbsd", "smf", "openrc"),
    *(
        "ubuntu",
        "ubuntu14",
        "ubuntu12",
        "centos",
        "centos6",
        "amazon",
        "arch",
        "oracle",
    ),
    *("freebsd", "openbsd", "macos", "darwin", "gentoo", "systemd"),
)
"""What PM2 knows by name; some are distributions that have systemd now."""


def startup(words: Words) -> int:
    """Install the unit.  Raises GaplessError."""
    return _unit(words, remove=False)


def unstartup(words: Words) -> int:
    """Remove the unit.  Raises GaplessError."""
    return _unit(words, remove=True)


def _unit(words: Words, *, remove: bool) -> int:
    given = words.given
    system = (*words.about, "systemd")[0]
    if system in _INIT_SYSTEMS and system != "systemd":
        user = given.get("user", "USER")
        raise MisuseError(
            f"pm2 {words.verb} {system}: gapless writes units of systemd only",
            hint=f"where systemd is, as on every newer Linux: pm2 {words.verb} systemd; "
            "elsewhere let init run, and start again, as this user: "
            f"su - {user} -c 'gapless supervise' (docs/systemd.md)",
        )
    # PM2's --hp is the home directory of the user, and its unit is a name.
    known = {
        "user": "user",
        "unit": "service",
        "wait_ip": "wait_ip",
        "home": "user_home",
    }
    asked = {to: given[name] for name, to in known.items() if name in given}
    return ours.run("startup", list(words.about), remove=remove, **asked)


def update(words: Words) -> int:
    """Let the installed version take the place of what runs; the apps serve on.

    Restarts are counted anew, as in PM2, whose apps begin anew.  Raises GaplessError.
    """
    _ = words
    code = ours.run("upgrade", [])
    client = Client(starts=False)
    if client.is_running() and client.request("list", only="names")["apps"]:
        ours.run("reset", ["all"])
    return code


def save(words: Words) -> int:
    """Save the list; what it was before stays beside it, as in PM2."""
    path = Client(starts=False).home.dump
    before = files.read_own_json(path) if os.path.exists(path) else None
    code = ours.run("save", [], force=words.has("force"))
    if before is not None:
        files.write_json(f"{path}.bak", before)
    return code


def resurrect(words: Words) -> int:
    """Start what the list has; as in PM2, the one before where it cannot be read."""
    _ = words
    path = Client(starts=False).home.dump
    before = f"{path}.bak"
    try:
        ours.Verbs.module("resurrect").read(path)
    except GaplessError as error:
        if not os.path.exists(before):
            raise
        output.print_error(f"{error.message}; {before} is taken, the list before")
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, f"{path}.broken")
        return ours.run("resurrect", [], path=before)
    return ours.run("resurrect", [])


def cleardump(words: Words) -> int:
    """Save an empty list."""
    _ = words
    return ours.run("save", [], clear=True)


def kill(words: Words) -> int:
    """End everything and forget it, as PM2 does: `save` first, and `resurrect` has it."""
    _ = words
    if Client().request("list", only="names")["apps"]:
        ours.run("delete", ["all"])
    return ours.run("shutdown", [])
