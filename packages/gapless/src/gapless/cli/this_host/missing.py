"""What apps name that this host does not have: no instance of them would start here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from gapless.base.errors import GaplessError
from gapless.keeper import identity
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe.variables import environment_files


def warnings(apps: Mapping[str, AppSpec]) -> list[str]:
    """Return what is missing: users, groups, environment files.

    It may be another host that the file is for.
    """
    return [
        f"{name}: no instance would start here: {why}"
        for name, each in apps.items()
        for why in _missing(each)
    ]


def _missing(app: AppSpec) -> Iterator[str]:
    named = {"user": (app.user, ""), "group": ("", app.group)}
    unknown = [
        f"{key} = {user or group!r}: this host has none of that name"
        for key, (user, group) in named.items()
        if not _exists(user, group)
    ]
    yield from unknown
    if unknown:
        return
    if os.geteuid() and not identity.find(app.user, app.group).is_own():
        yield f"only root may start apps of {app.user or app.group}"
        return
    try:
        environment_files.read(
            app.environment_files, app.directory, user=app.user, group=app.group
        )
    except GaplessError as error:
        yield error.message


def _exists(user: str, group: str) -> bool:
    try:
        identity.find(user, group)
    except LookupError:
        return False
    return True
