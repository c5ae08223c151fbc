"""What a configuration asks of source addresses, and what they may not tell."""

from __future__ import annotations

from collections.abc import Mapping

from gapless.supervisor.memory.spec import Affinity, AppSpec


def remarks(apps: Mapping[str, AppSpec]) -> list[str]:
    """Return what to know of the apps whose clients have their instance by address."""
    found = []
    for name, each in apps.items():
        if each.affinity is Affinity.NONE:
            continue
        key = f'{name}: affinity = "address"'
        if not (each.interception or each.listen):
            found.append(
                f"{key} has no effect: with interception = false the program binds for "
                f"itself; name its addresses in `listen`"
            )
        elif each.instances > 1:
            found.append(
                f"{key}: behind a balancer or proxy all connections have its address, "
                f"and come to one of the {each.instances} instances (docs/affinity.md)"
            )
    return found
