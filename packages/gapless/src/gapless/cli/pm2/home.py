"""PM2_HOME: for PM2's words it is GAPLESS_HOME, so that it separates apps as in PM2.

Scripts and log shippers look below ~/.pm2: where nothing is there it leads to gapless's own
home, and files of PM2 that have another name here have PM2's as well.
"""

from __future__ import annotations

import contextlib
import os

from gapless.base import home
from gapless.cli import output

_OWN, _PM2S = "~/.gapless", "~/.pm2"
_NAMES = {
    "dump.pm2": "dump.json",
    "dump.pm2.bak": "dump.json.bak",
    "pm2.pid": "supervisor.pid",
    "pm2.log": "logs/gapless.log",
}
"""PM2's names of files in its home, and what each leads to here."""


def choose() -> None:
    """Let PM2_HOME name the home, unless it is PM2's own default.

    Who sets it means a place apart: what is done there must not touch what runs elsewhere,
    also where GAPLESS_HOME is set for the whole machine.
    """
    named = os.environ.get("PM2_HOME", "")
    if named and os.path.abspath(named) != os.path.expanduser(_PM2S):
        os.environ["GAPLESS_HOME"] = os.path.abspath(named)


def name_as_pm2() -> None:
    """Let PM2's names lead to what is here; what is not ours of such a name stays."""
    own = home.path()
    with contextlib.suppress(
        OSError
    ):  # it is no home of ours, or nothing can be written
        if os.stat(own).st_uid != os.geteuid():
            return
        for name, here in _NAMES.items():
            is_there = os.path.lexists(f"{own}/{name}")
            if os.path.exists(f"{own}/{here}"):
                if not is_there:
                    os.symlink(here, f"{own}/{name}")
            elif is_there and _leads_to(f"{own}/{name}", here):
                os.unlink(f"{own}/{name}")
        place = os.path.expanduser(_PM2S)
        is_default = own == os.path.expanduser(_OWN)
        if is_default and not os.path.lexists(place):
            os.symlink(os.path.basename(own), place)
            output.print_error(
                f"hint: {_PM2S} is a link to {_OWN} now, for what looks there"
            )


def _leads_to(path: str, target: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == target
