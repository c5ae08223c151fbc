"""What is remembered of each app for the next supervisor: with the keeper, and on disk.

The keeper's note is exact: it is given with every change.  The one on disk is a hint for
the time when supervisor, keeper and guardian are all gone.  It is written when an instance
or a generation came, went or changed its state, and not for each count in between.
Rule 1: what an instance cannot be found or judged by without the file is in it at the end
of the turn in which it came to be, before any client learns of it; other changes wait for
more.
Rule 2: no fsync.  A file that was written outlives every process of ours, and it says
nothing that matters after the machine itself went down.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from gapless.base import clock, codec, events, files, set_aside
from gapless.base.names import Home
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord, Apps, read_note
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Phase, Role

DISK_PAUSE_S = 1.0
"""How long a change waits for more before it is written to disk, if it may wait.

And how long until a write that failed is tried again.
"""
_SERVING = (Role.PROVING, Role.SERVING, Role.RECYCLING)
"""Roles in which a generation takes new connections, and was not told to end."""
VERSION = 1
"""Grows when a field changes its meaning; new fields do not need it (base.codec)."""


class NoteFile(NamedTuple):
    """What the file of an app says."""

    app: AppRecord
    incarnation: str
    """That of the keeper that had its instances."""
    boot: str
    """The boot of the machine in which it was written; empty from older versions."""
    sockets: dict[str, dict[str, Any]]
    """By name, what is known of its listening sockets, and the inode of each."""
    groups: dict[str, Any]
    """The notes of the groups in which they are."""


class _Changed(NamedTuple):
    """A note that waits to be written to disk."""

    at: float
    """When to write it."""
    essence: Any
    needed: frozenset[Any]
    note: dict[str, Any]


class Notes:
    """Writes the notes of an app when it has changed."""

    def __init__(
        self,
        home: Home,
        keeper: KeeperConnection,
        log: events.Log,
        *,
        is_ours: Callable[[], bool],
    ) -> None:
        """Write files only while *is_ours* says that the home is this supervisor's."""
        self._home, self._keeper, self._log = home, keeper, log
        self._is_ours = is_ours
        self.boot = processes.boot_id()
        """Which boot of the machine this is."""
        self.sockets_of: Callable[[str], dict[str, Any]] = lambda _: {}
        """Returns what a file says of the sockets of an app."""
        self._on_disk: dict[str, Any] = {}
        """By app: what its file says, as far as it decides whether to write it anew."""
        self._needed: dict[str, frozenset[Any]] = {}
        """By app: what of that decides when."""
        self._changed: dict[str, _Changed] = {}
        """By app: what is to be written."""
        self._failing: set[str] = set()
        """The apps whose file could not be written last: that is logged once."""
        self._roles: dict[str, Any] = {}
        """By app: the generations and their roles, as the keeper knows them."""

    def write(self, app: AppRecord) -> None:
        """Remember an app as it is now."""
        note = {"version": VERSION, **codec.encode(app)}
        self._keeper.note(f"app/{app.name}", note)
        self._roles[app.name] = _roles(app)
        essence = _essence(app)
        if self._on_disk.get(app.name) == essence:
            self._changed.pop(app.name, None)
            return
        needed, now = _needed(app), clock.monotonic()
        waits = needed <= self._needed.get(app.name, frozenset())
        at = now + DISK_PAUSE_S if waits else now
        if app.name in self._changed:
            at = min(at, self._changed[app.name].at)
        self._changed[app.name] = _Changed(at, essence, needed, note)

    def all_of(self, apps: Apps) -> dict[str, Any]:
        """Return the note of each app, as it is now."""
        return {
            app.name: {"version": VERSION, **codec.encode(app)} for app in apps.values()
        }

    def write_roles(self, app: AppRecord) -> None:
        """Remember an app if a generation has come, gone or changed its role since.

        An instance is told to end after that: whoever follows must not go back to it.
        """
        if self._roles.get(app.name) != _roles(app):
            self.write(app)

    def write_until(self) -> float | None:
        """Return when `write_files` has something to do; None if nothing has changed."""
        return min((each.at for each in self._changed.values()), default=None)

    def write_files(self, now: float = math.inf) -> None:
        """Write to disk what has changed, and has waited until *now*."""
        for name, changed in list(self._changed.items()):
            if changed.at > now:
                continue
            del self._changed[name]
            if not self._is_ours():
                continue
            if self._write_file(name, changed.note):
                self._on_disk[name] = changed.essence
                self._needed[name] = changed.needed
            elif now < math.inf:  # the disk is full, say
                self._changed[name] = changed._replace(at=now + DISK_PAUSE_S)

    def write_all(self, apps: Iterable[AppRecord]) -> None:
        """Write every app to disk as it is now: the keeper is gone."""
        for app in apps if self._is_ours() else ():
            self._changed.pop(app.name, None)
            note = {"version": VERSION, **codec.encode(app)}
            self._write_file(app.name, note)

    def _write_file(self, name: str, note: dict[str, Any]) -> bool:
        """Write the file of an app; return whether that succeeded."""
        path = self._home.app_note(name)
        content = {
            "version": VERSION,
            "incarnation": self._keeper.incarnation,
            "boot": self.boot,
            **self.sockets_of(name),
            "app": note,
        }
        encoded = json.dumps(content).encode()
        try:
            try:
                files.write_atomically(path, encoded, durable=False)
            except FileNotFoundError:
                os.mkdir(self._home.notes, mode=0o700)
                files.write_atomically(path, encoded, durable=False)
        except OSError as error:
            if name not in self._failing:
                self._failing.add(name)
                self._log.write("write-failed", path=path, reason=str(error))
            return False
        self._failing.discard(name)
        return True

    def remove(self, name: str) -> None:
        """Forget an app."""
        self._keeper.note(f"app/{name}", None)
        self._on_disk.pop(name, None)
        self._needed.pop(name, None)
        self._failing.discard(name)
        self._changed.pop(name, None)
        self._roles.pop(name, None)
        if not self._is_ours():
            return
        with contextlib.suppress(OSError):
            os.unlink(self._home.app_note(name))

    def read_file(self, name: str) -> AppRecord | None:
        """Return what the file of an app says; None without one that can be read."""
        path = self._home.app_note(name)
        try:
            plain = files.read_own_json(path)
            if plain is None:
                return None
            if plain["version"] != VERSION:
                raise ValueError(f"version {plain['version']} is not {VERSION}")
            app = read_note(plain["app"])
            if app.name != name:
                raise ValueError(f"it is of another app: {app.name!a}")
        except (OSError, ValueError, TypeError, LookupError) as error:
            aside = set_aside.set_aside(path)
            self._log.write(
                "note-unreadable", path=path, reason=str(error), set_aside=aside
            )
            return None
        return app

    def read_files(self) -> Iterator[NoteFile]:
        """Yield what the files of all apps say; none of one that cannot be read."""
        try:
            names = sorted(os.listdir(self._home.notes))
        except OSError:
            return
        for name in names:
            path = f"{self._home.notes}/{name}"
            if not name.endswith(".json"):
                continue
            try:
                plain = files.read_own_json(path)
                codec.check_plain(plain, name)
                if plain["app"]["name"] != name.removesuffix(".json"):
                    raise ValueError(f"it is of {plain['app']['name']}")
                sockets = dict(plain.get("sockets", {}))
                for meta in sockets.values():
                    int(meta["inode"])
                yield NoteFile(
                    app=read_note(plain["app"]),
                    incarnation=str(plain.get("incarnation", "")),
                    boot=str(plain.get("boot", "")),
                    sockets=sockets,
                    groups=dict(plain.get("groups", {})),
                )
            except (OSError, ValueError, TypeError, LookupError) as error:
                self._log.write("note-unreadable", path=path, reason=str(error))

    def remove_unknown(self, names: set[str]) -> None:
        """Remove the files of apps that are not among *names*: they were deleted."""
        with contextlib.suppress(OSError):
            for file in os.listdir(self._home.notes):
                is_known = file.removesuffix(".json") in names
                if not is_known and not set_aside.is_set_aside(file):
                    os.unlink(f"{self._home.notes}/{file}")


def _roles(app: AppRecord) -> list[tuple[int, Role]]:
    return [(each.number, each.role) for each in app.generations]


def _needed(app: AppRecord) -> frozenset[Any]:
    """Return the facts without which an instance is not found again, or not as it was.

    One that is gone needs no haste: that it is not there is seen.
    """
    serving = [each.number for each in app.generations if each.role in _SERVING]
    return frozenset(serving).union(
        (
            *(each.key, each.pid, each.phase, each.notified_ready),
            frozenset(each.listens),
        )
        for each in app.instances()
        if each.spawned and each.phase is not Phase.DRAINING
    )


def _essence(app: AppRecord) -> Any:
    """Return what is worth a write to disk when it changes."""
    token = app.operation.token if app.operation else None
    generations = [
        (
            generation.number,
            generation.role,
            generation.served,
            generation.quiesced,
            frozenset(generation.sockets),
            tuple(seat.exited_at for seat in generation.seats),
            tuple(_instance(instance) for instance in generation.instances),
        )
        for generation in app.generations
    ]
    return app.running, app.spec, app.last_serial, token, generations


def _instance(instance: InstanceRecord) -> Any:
    return (
        instance.key,
        instance.pid,
        instance.phase,
        instance.notified_ready,
        instance.leader_alive,
        instance.stop_sent_at,
        instance.mode,
        frozenset(instance.listens),
    )
