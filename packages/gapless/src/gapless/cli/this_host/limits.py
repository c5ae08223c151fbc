"""Which limits of instances have no effect on this machine, before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gapless.base.kernel import cgroups
from gapless.client import Client
from gapless.supervisor.kernel import controllers
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import instance_groups, instance_limits


def why_unavailable(client: Client) -> dict[str, str]:
    """Return why controllers cannot limit instances, by their names; empty if they can.

    Where no supervisor runs: of one that this command would start.
    """
    if client.is_running():
        found = client.request("list")["supervisor"]["mechanisms"].get("limits", {})
        return {name: why for name, why in found.items() if isinstance(why, str)}
    hierarchy = cgroups.find()
    reason = instance_groups.why_unavailable(hierarchy)
    if reason or hierarchy is None:
        return dict.fromkeys(controllers.WANTED, reason)
    above = instance_limits.parent_of_groups(hierarchy)
    whys = {
        name: instance_limits.why_unavailable(above, name, os.getpid().__eq__)
        for name in controllers.WANTED
    }
    return {name: why for name, why in whys.items() if why}


def warnings(client: Client, apps: Mapping[str, AppSpec]) -> list[str]:
    """Return what apps ask for in vain."""
    wanted = {app: instance_limits.asked(each.limits) for app, each in apps.items()}
    if not any(wanted.values()):
        return []
    troubles = why_unavailable(client)
    found = {
        app: instance_limits.sentence(
            {key: troubles.get(name, "") for name, key in keys.items()}
        )
        for app, keys in wanted.items()
    }
    return [f"{app}: {text}" for app, text in found.items() if text]
