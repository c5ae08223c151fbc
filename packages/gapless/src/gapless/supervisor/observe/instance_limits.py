"""Limits of memory and processor time of instances, by their control groups.

Nothing is changed before an app asks for a limit.  Then the group in which the supervisor
is has to distribute the controllers, and may have no process of its own: supervisor and
keeper move into a group below it.  systemd starts the next supervisor in the unit's own
group, and could not while that distributes controllers.  So a unit has to say that it
takes them back when its supervisor has ended, or that it puts it below.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from gapless.base import events
from gapless.base.kernel import cgroups
from gapless.supervisor.kernel import controllers, processes
from gapless.supervisor.memory.spec import Limits

LEAF = "gapless-supervisor"
"""The group of supervisor and keeper, where controllers are distributed."""
CONTROL = ".control"
"""The group in which systemd runs ExecStop and ExecStopPost of a unit with Delegate=."""
MOST_MOVES = 3
"""So often what is ours is moved below, before a group that is busy counts as such."""
WITHDRAWN_BY_UNIT = "limits"
"""The value of GAPLESS_CGROUPS in a unit that has the ExecStopPost of `startup`."""
_NO_UNIT = "run gapless as a unit: `gapless startup` writes it"
_OTHER_UNIT = (
    "write the unit anew: `gapless startup`; or, since systemd 254, add "
    f"DelegateSubgroup={LEAF} to it"
)


def parent_of_groups(hierarchy: cgroups.Hierarchy) -> str:
    """Return the group in which ours are made: our own, or that above our leaf."""
    own = hierarchy.directory
    above, name = os.path.split(own)
    return above if name in (LEAF, CONTROL) else own


def asked(limits: Limits) -> dict[str, str]:
    """Return the controllers that limits need, each with the key that asks for it."""
    found = {
        "memory": ("memory_mb", limits.memory_bytes),
        "cpu": ("cpu_percent", limits.cpu_percent),
    }
    return {
        n: f"limits.{key}" for n, (key, limit) in found.items() if limit is not None
    }


def is_below(hierarchy: cgroups.Hierarchy) -> bool:
    """Return whether this process is in our leaf: by itself, or by DelegateSubgroup=."""
    return os.path.basename(hierarchy.directory) == LEAF


def why_unavailable(
    above: str, name: str, is_ours: Callable[[int], bool], *, below: bool = False
) -> str:
    """Return why a controller cannot limit groups below *above*; empty if it can.

    *is_ours* says whether a process may be moved out of that group; *below*, whether
    supervisors start in the leaf.
    """
    if name in controllers.distributed(above):
        return ""
    if name not in controllers.offered(above):
        return _why_not_offered(above, name)
    if not os.access(f"{above}/cgroup.subtree_control", os.W_OK):
        return f"{above}/cgroup.subtree_control may not be written; {_NO_UNIT}"
    if _is_root(above):
        return ""
    managed = above.endswith(".service") and os.path.isdir("/run/systemd/system")
    withdrawn = os.environ.get("GAPLESS_CGROUPS") == WITHDRAWN_BY_UNIT
    if managed and not (withdrawn or below):
        return (
            f"systemd could not start the next supervisor in {above} while that "
            f"distributes controllers; {_OTHER_UNIT}"
        )
    others = [pid for pid in controllers.own_pids(above) if not is_ours(pid)]
    return _why_busy(above, others) if others else ""


def _why_not_offered(above: str, name: str) -> str:
    if not os.path.exists(f"{above}/cgroup.controllers"):
        return "there is no control group (v2) for instances"
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            v1 = any(name in line.split(":")[1].split(",") for line in file)
    except (OSError, IndexError):
        v1 = False
    if v1:
        return (
            "this machine limits by cgroup v1; boot it with "
            "systemd.unified_cgroup_hierarchy=1"
        )
    has = ", ".join(sorted(controllers.offered(above))) or "none"
    return (
        f"{above} is not given the controller for it (it has: {has}); a unit with "
        f"Delegate=yes is"
    )


def _why_busy(above: str, pids: list[int]) -> str:
    rows = {pid: processes.read(pid) for pid in pids[:3]}
    named = ", ".join(f"{pid} ({row.name})" for pid, row in rows.items() if row)
    return (
        f"other processes are in its control group {above}: {named or pids[:3]}; "
        f"{_NO_UNIT}"
    )


def _is_root(path: str) -> bool:
    """Return whether a group is the root of all: that may have processes of its own."""
    return not os.path.exists(f"{path}/cgroup.type")


class InstanceLimits:
    """Limits the groups of one home."""

    def __init__(
        self, above: str, directory: str, log: events.Log, *, below: bool = False
    ) -> None:
        """Use the group *directory*, below *above*, in which the instances' groups are.

        *below*: the supervisor is in the leaf.
        """
        self._above, self._directory, self._log = above, directory, log
        self._below = below
        self.ours: tuple[int, ...] = ()
        """Keeper and guardian."""

    def why_unavailable(self, name: str) -> str:
        """Return why a controller cannot limit instances; empty if it can."""
        return why_unavailable(self._above, name, self._is_ours, below=self._below)

    def apply(self, path: str, limits: Limits) -> str:
        """Limit the group of an instance; return what is not limited, and why.

        May come twice.  A group has no limit that is not asked for.
        """
        wanted = asked(limits)
        if not wanted:
            return ""
        troubles = {
            key: "" if controllers.limits(path, name) else self._provide(name)
            for name, key in wanted.items()
        }
        try:
            if "memory" in wanted and not troubles[wanted["memory"]]:
                controllers.limit_memory(path, limits.memory_bytes)
            if "cpu" in wanted and not troubles[wanted["cpu"]]:
                controllers.limit_cpu(path, limits.cpu_percent)
        except OSError as error:
            reason = f"{path}: {(error.strerror or str(error)).lower()}"
            troubles = dict.fromkeys(troubles, reason)
        return sentence(troubles)

    def _provide(self, name: str) -> str:
        """Let the groups of instances have a controller; return why they cannot."""
        reason = self.why_unavailable(name)
        if reason:
            return reason
        try:
            self._distribute(name)
            controllers.distribute(self._directory, [name])
        except OSError as error:
            if error.errno == errno.EBUSY:
                return _why_busy(self._above, controllers.own_pids(self._above))
            return f"{self._above}: {(error.strerror or str(error)).lower()}"
        return ""

    def _distribute(self, name: str) -> None:
        """Distribute a controller in the group above.  Raises OSError."""
        for _ in range(MOST_MOVES):
            try:
                controllers.distribute(self._above, [name])
            except OSError as error:
                if error.errno != errno.EBUSY or not self._move_below():
                    raise
            else:
                return
        controllers.distribute(self._above, [name])

    def _move_below(self) -> bool:
        """Move supervisor, keeper and guardian, and what they run, into a group.

        What one of them forks meanwhile is in the group above, so this may come again.
        Returns whether there was one.  Raises OSError.
        """
        leaf = f"{self._above}/{LEAF}"
        cgroups.make(leaf)
        own = [pid for pid in controllers.own_pids(self._above) if self._is_ours(pid)]
        for pid in own:
            cgroups.enter(leaf, pid)
        self._log.write("moved-below", path=leaf)
        return bool(own)

    def _is_ours(self, pid: int) -> bool:
        """Return whether a process is one of ours, or comes from one of them."""
        row: processes.Process | None = None
        while pid not in (os.getpid(), *self.ours):
            row = processes.read(pid) if pid > 1 else None
            if row is None:
                return False
            pid = row.parent
        return True


def sentence(troubles: dict[str, str]) -> str:
    """Return which keys have no effect, and why; empty if all have."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in troubles.items():
        if reason:
            by_reason.setdefault(reason, []).append(key)
    return "; ".join(
        f"{' and '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect: {reason}"
        for reason, keys in by_reason.items()
    )


def withdraw() -> None:
    """Take the controllers back, so that systemd can start a supervisor in its group.

    The limits are set again by that one.  Raises OSError.
    """
    hierarchy = cgroups.find()
    if hierarchy is None:
        return
    above = parent_of_groups(hierarchy)
    for path in cgroups.below(above):
        if os.path.basename(path).startswith("gapless-"):
            controllers.withdraw(path)
    controllers.withdraw(above)
