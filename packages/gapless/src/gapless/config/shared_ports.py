"""Apps of one file that are to have the same port: who shares it, and who cannot."""

from __future__ import annotations

from collections.abc import Mapping

from gapless.supervisor.memory.spec import AppSpec


def remarks(apps: Mapping[str, AppSpec]) -> list[str]:
    """Return which apps are told the same port and cannot have it, and what to write.

    Whether a program binds its PORT is not known before it runs: those of PM2's cluster
    mode are told of, and what is handed out by `listen`.
    """
    return [
        f"{_and(names)} have {place}: an address has one app, and the second does not "
        f'start: let both share it, as in share_ports = "web", let one declaration run all '
        f"instances of it, as in `instances: 4`, or give each a port of its own"
        for place, names in _by_place(apps).items()
        if len(names) > 1 and not _share(apps, names)
    ]


def shared(apps: Mapping[str, AppSpec]) -> list[str]:
    """Return which apps are told the same port, and share it."""
    return [
        f"{_and(names)} share {place}: each gets a part of the new connections "
        f"(docs/shared-ports.md)"
        for place, names in _by_place(apps).items()
        if len(names) > 1 and _share(apps, names)
    ]


def _by_place(apps: Mapping[str, AppSpec]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, each in apps.items():
        places = set(each.listen)
        if each.mode == "cluster" and "PORT" in each.configured:
            places.add(f"port {each.environment.get('PORT', '')}")
        for place in sorted(places):
            found.setdefault(place, []).append(name)
    return found


def _share(apps: Mapping[str, AppSpec], names: list[str]) -> bool:
    """Return whether all of some apps may have one address."""
    words = {(apps[name].share_ports, apps[name].user) for name in names}
    return len(words) == 1 and all(word for word, _ in words)


def _and(names: list[str]) -> str:
    return " and ".join(names)
