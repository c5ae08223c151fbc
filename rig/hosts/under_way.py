"""How much work the apps of a host have under way, as `gapless list` shows it."""

from __future__ import annotations

from rig.hosts.host import Host


def procedures_under_way(host: Host) -> int:
    """Return how many procedures the only app of a host runs."""
    (row,) = host.json("list")["apps"]
    return int(row["procedures"] or 0)
