"""Who a program runs as: the user, its groups, and what the user database says of it."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection
from dataclasses import dataclass, field

from gapless.base.names import LOGIN_VARIABLES


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and its groups; -1, "" and no groups where nothing changes."""

    uid: int = -1
    gid: int = -1
    groups: tuple[int, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    """HOME, USER, LOGNAME and SHELL of the user; empty without a user."""

    def is_own(self) -> bool:
        """Return whether this process is that user already."""
        return self.uid in (-1, os.geteuid()) and self.gid in (-1, os.getegid())

    def assume(self) -> None:
        """Become the user, with its supplementary groups.  Raises OSError."""
        if self.is_own():
            return  # an ordinary user may name itself
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def find(user: str, group: str) -> Identity:
    """Return who a program is to be; names or numbers, empty for the present ones.

    A look-up may wait for a directory on the network.  Raises LookupError.
    """
    uid, gid = -1, -1
    groups: list[int] = []
    variables: dict[str, str] = {}
    if user:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        uid, gid = entry.pw_uid, entry.pw_gid
        groups = os.getgrouplist(entry.pw_name, gid)
        login = (entry.pw_dir, entry.pw_name, entry.pw_name, entry.pw_shell)
        variables = dict(zip(LOGIN_VARIABLES, login, strict=True))
        variables["SHELL"] = variables["SHELL"] or "/bin/sh"  # passwd(5)
    if group:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        groups = [gid, *groups]
    return Identity(uid, gid, tuple(sorted(set(groups))), variables)


def of_user(variables: dict[str, str], names: Collection[str]) -> dict[str, str]:
    """Return those of a user's variables that the app does not set itself."""
    return {name: variables[name] for name in names if name in variables}
