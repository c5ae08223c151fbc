"""Which control group each instance has: made before its start, removed after its end.

The name of a group follows from the key of its instance, so that a supervisor that died
before it noted one leaves nothing unknown.
"""

from __future__ import annotations

import os

from gapless.base import events
from gapless.base.kernel import cgroups
from gapless.supervisor.memory.spec import Limits
from gapless.supervisor.observe import instance_limits
from gapless.supervisor.observe.instance_limits import InstanceLimits

VARIABLE = "GAPLESS_CGROUPS"
"""`off` in the supervisor's environment: as if no group could be made."""


NO_GROUP = "no control group could be made for the instance"


def why_unavailable(hierarchy: cgroups.Hierarchy | None) -> str:
    """Return why no group can be made below the one in which this process is."""
    if os.environ.get(VARIABLE) == "off":
        return f"{VARIABLE} is off"
    if hierarchy is None:
        return "no cgroup v2 hierarchy is mounted"
    above = instance_limits.parent_of_groups(hierarchy)
    # What is above both has to be writable, to move a process into a new one.
    for place in (above, f"{above}/cgroup.procs"):
        if not os.access(place, os.W_OK):
            return f"{place} may not be written"
    return ""


class InstanceGroups:
    """The groups of one home."""

    def __init__(self, home: str | None, log: events.Log) -> None:
        """Find out whether groups can be made; without a *home* none are."""
        self._log = log
        self._directory = ""
        self._hierarchy = cgroups.find()
        self._limits: InstanceLimits | None = None
        self._left: set[str] = set()
        """Groups whose instance is gone, and that a process still lives in."""
        self.unavailable = self._set_up(home)
        """Why no group can be made; empty if they can."""

    def _set_up(self, home: str | None) -> str:
        if home is None:
            return "nothing is started here"
        if (reason := why_unavailable(self._hierarchy)) or self._hierarchy is None:
            return reason
        above = instance_limits.parent_of_groups(self._hierarchy)
        status = os.stat(home)
        # A home has one name, by whatever path it is reached.
        path = f"{above}/gapless-{status.st_dev:x}-{status.st_ino:x}"
        try:
            os.makedirs(path, mode=0o755, exist_ok=True)
        except OSError as error:
            return f"{above}: {(error.strerror or str(error)).lower()}"
        self._directory = path
        below = instance_limits.is_below(self._hierarchy)
        self._limits = InstanceLimits(above, path, self._log, below=below)
        return ""

    def note_ours(self, *pids: int) -> None:
        """Note which processes of ours may have to move into another group."""
        if self._limits is not None:
            self._limits.ours = tuple(pid for pid in pids if pid)

    def limit(self, path: str, limits: Limits) -> str:
        """Limit the group of an instance; return what of it has no effect, and why."""
        if self._limits is not None and path:
            return self._limits.apply(path, limits)
        keys = instance_limits.asked(limits).values()
        return instance_limits.sentence(
            dict.fromkeys(keys, self.unavailable or NO_GROUP)
        )

    def why_no_limit(self, name: str) -> str:
        """Return why a controller cannot limit instances; empty if it can."""
        if self._limits is None:
            return self.unavailable
        return self._limits.why_unavailable(name)

    def path_of(self, key: str) -> str:
        """Return where the group of an instance is, or would be; "" without groups."""
        return self._directory and f"{self._directory}/{key.replace('/', ':')}"

    def make(self, key: str) -> str:
        """Return the group of an instance that starts; "" if it cannot have one."""
        path = self.path_of(key)
        if path and not cgroups.make(path):
            self._log.write("no-group", key=key, path=path)
            return ""
        return path

    def adopt(self, key: str) -> str:
        """Return the group that an earlier supervisor made for an instance, if it did."""
        path = self.path_of(key)
        return path if path and os.path.isdir(path) else ""

    def has(self, path: str, pid: int) -> bool:
        """Return whether a process is in a group."""
        if self._hierarchy is None:
            return False
        return cgroups.has(self._hierarchy.group_of(path), pid)

    def remove(self, path: str) -> None:
        """Remove a group whose instance is gone; later, if somebody still lives there."""
        self._left.add(path)
        self._left = {each for each in self._left if each and not cgroups.remove(each)}

    def remove_unknown(self, known: set[str]) -> None:
        """Remove what a dead run left behind: all but the *known* groups."""
        if self._directory:
            for path in cgroups.below(self._directory):
                if path not in known:
                    self.remove(path)

    def close(self) -> None:
        """Remove the directory of all groups, once it is empty."""
        if self._directory:
            cgroups.remove(self._directory)
