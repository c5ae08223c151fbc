"""Apps of one file that are to have the same port: only one of them can."""

from __future__ import annotations

from collections.abc import Mapping

from gapless.supervisor.memory.spec import AppSpec


def remarks(apps: Mapping[str, AppSpec]) -> list[str]:
    """Return which apps are told the same port, and what to write instead.

    Whether a program binds its PORT is not known before it runs: those that PM2 would let
    share it, in cluster mode, are told of, and what is handed out by `listen`.
    """
    by_place: dict[str, list[str]] = {}
    for name, each in apps.items():
        places = set(each.listen)
        if each.mode == "cluster" and "PORT" in each.configured:
            places.add(f"port {each.environment.get('PORT', '')}")
        for place in sorted(places):
            by_place.setdefault(place, []).append(name)
    return [
        f"{' and '.join(names)} have {place}: PM2's cluster mode lets several apps share a "
        f"port, here it has one app, and the second does not start: let one declaration "
        f"run all instances of it, as in `instances: 4`, or give each a port of its own"
        for place, names in by_place.items()
        if len(names) > 1
    ]
