"""What was asked for, on disk: which apps there are and whether they are to run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gapless.base import clock, codec, events, files, names, set_aside
from gapless.base.errors import UnavailableError
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.counts import Totals

VERSION = 1
MOST_OUTCOMES = 8


@dataclass(slots=True)
class HostRecord:
    """What was asked of this host as a whole."""

    draining: bool = False
    """It was told to leave service."""
    lead_s: float | None = None
    """How long, at most, balancers are told before; None: as each app says."""
    shutting_down: bool = False
    keeper: str = ""
    """The incarnation of the keeper that holds its apps."""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    """Reports that no app keeps: of apps that are gone, of operations that others replaced.
    Their clients may ask again."""

    def keep_outcome(self, report: dict[str, Any]) -> None:
        """Keep a report for a client that comes back, if one may."""
        token = report.get("token")
        if token:
            others = [each for each in self.outcomes if each.get("token") != token]
            self.outcomes = [*others, report][-MOST_OUTCOMES:]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOperation:
    """An operation under way, as far as the next supervisor needs it."""

    action: str
    token: str
    started_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedApp:
    """What was asked for one app."""

    spec: spec.AppSpec
    running: bool
    last_generation: int = 0
    restarts: int = 0
    restarts_by: dict[str, int] = field(default_factory=dict)
    replaced: int = 0
    totals: Totals = field(default_factory=Totals)
    ids: list[int] = field(default_factory=list)
    finished: bool = False
    serves_on_path: bool = False
    last_report: dict[str, Any] | None = None
    operation: AskedOperation | None = None
    """What was under way: who asked for it finds it again by its token."""

    def record(self, name: str) -> AppRecord:
        """Return the record of an app of which nothing else is known; it is not running."""
        return AppRecord(
            name=name,
            spec=self.spec,
            running=False,
            last_generation=self.last_generation,
            restarts=self.restarts,
            restarts_by=dict(self.restarts_by),
            replaced=self.replaced,
            totals=self.totals,
            ids=list(self.ids),
            finished=self.finished,
            serves_on_path=self.serves_on_path,
            last_report=self.last_report,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The content of the file."""

    version: int
    apps: dict[str, AskedApp]
    shut_down: bool = False
    """The apps were ended by `gapless shutdown`, not by a crash."""
    shut_down_keeper: str = ""
    """The incarnation of the keeper whose apps were to end: no other's are."""
    draining: bool = False
    lead_s: float | None = None
    outcomes: list[dict[str, Any]] = field(default_factory=list)


class StateFile:
    """Keeps what was asked for in a file.

    Each app is encoded when it may have changed, and the file is written once in a turn of
    the loop: before anything acts on what was asked for, and before clients learn of it.
    """

    def __init__(
        self,
        path: str,
        apps: Apps,
        host: HostRecord,
        log: events.Log,
        *,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write only while *is_ours* says that the home is this supervisor's."""
        self._path, self._apps, self._host, self._log = path, apps, host, log
        self._is_ours = is_ours
        self._written: dict[str, bytes] = {}
        """Each app as it was encoded last."""
        self._write_at: float | None = None
        self._loaded: dict[str, Any] = {}
        """The apps as the file had them: of those that are left alone this stays."""

    def save(self, *, within_s: float = 0.0) -> None:
        """Let a `flush` write down what was asked for; by then others may have more."""
        at = clock.monotonic() + within_s
        self._write_at = at if self._write_at is None else min(at, self._write_at)

    def look_again(self, names: Iterable[str]) -> None:
        """Encode these apps anew at the next write: they may have changed."""
        for name in names:
            self._written.pop(name, None)

    def write_until(self) -> float | None:
        """Return when a `flush` has something to write; None if nothing has changed."""
        return self._write_at

    def flush(self, *, all_of_it: bool = False) -> None:
        """Write down what was asked for, if that has changed and its time has come.

        The keeper remembers it too, so a full disk is logged and stops no release.
        """
        if self._write_at is None:
            return
        if not all_of_it and clock.monotonic() < self._write_at:
            return
        self._write_at = None
        if all_of_it:
            self._written.clear()
        state = State(
            version=VERSION,
            apps={},
            shut_down=self._host.shutting_down,
            shut_down_keeper=self._host.keeper if self._host.shutting_down else "",
            draining=self._host.draining,
            lead_s=self._host.lead_s,
            outcomes=self._host.outcomes,
        )
        if not self._is_ours():
            return  # the home was removed: what is there now is another supervisor's
        apps = [self._encoded(app) for app in self._apps.values() if not app.deleted]
        apps += [
            f"{json.dumps(name)}: {json.dumps(self._loaded[name])}".encode()
            for name in self._apps.unread
            if name in self._loaded
        ]
        host = json.dumps({**codec.encode(state), "apps": None}).encode()
        before, _, after = host.partition(b'"apps": null')
        body = b",\n".join(apps)
        content = b"".join([before, b'"apps": {\n', body, b"\n}", after, b"\n"])
        try:
            files.write_atomically(self._path, content)
        except OSError as error:
            self._log.write("write-failed", path=self._path, reason=str(error))
        for name in self._written.keys() - self._apps.keys():
            del self._written[name]

    def _encoded(self, app: AppRecord) -> bytes:
        """Return the line of an app: encoded anew if it may not be as it was."""
        line = self._written.get(app.name)
        if line is None:
            plain = codec.encode(_asked(app))
            text = f"{json.dumps(app.name)}: {json.dumps(plain, sort_keys=True)}"
            line = self._written[app.name] = text.encode()
        return line

    def load(self) -> State:
        """Return what was asked for; nothing without a file.

        Raises UnavailableError if it cannot be understood, OSError.
        """
        state, faults = self._read()
        if faults:
            raise UnavailableError(
                f"could not read the state in {self._path}: {faults[0]}",
                hint="the next supervisor sets it aside, and begins without the apps "
                "that it does not understand",
            )
        return state

    def load_or_set_aside(self) -> tuple[State, str]:
        """Return what can be understood of it, and what became of the rest, or nothing.

        What is not understood is not guessed at: that could stop apps that serve.  The
        file then has another name, for people.  Raises OSError if it cannot be read now.
        """
        state, faults = self._read()
        if not faults:
            return state, ""
        aside = set_aside.set_aside(self._path)
        what = f"set aside as {aside}" if aside else f"left as {self._path}"
        reason = f"{self._path} was {what}: {'; '.join(faults)}"
        self._log.write("state-unreadable", path=self._path, reason=reason)
        return state, reason

    def _read(self) -> tuple[State, list[str]]:
        """Return the state, and what is wrong with the file.  Raises OSError.

        One app that cannot be understood does not cost the others theirs.
        """
        nothing = State(version=VERSION, apps={})
        try:
            plain = files.read_own_json(self._path)
            if plain is None:
                return nothing, []
            if isinstance(plain, dict) and plain.get("version", VERSION) != VERSION:
                raise ValueError(f"version {plain['version']} is not {VERSION}")
            # Whether there is a field `apps` at all is checked with the rest.
            apps = plain.get("apps") if isinstance(plain, dict) else None
            own = {**plain, "apps": {}} if isinstance(apps, dict) else plain
            state = codec.decode(State, own, "state")
            self._loaded = apps or {}
        except ValueError as error:
            return nothing, [str(error)]
        except OSError as error:
            if not set_aside.is_foreign(error):
                raise
            return nothing, [(error.strerror or str(error)).lower()]
        faults = []
        for name, each in (apps or {}).items():
            try:
                state.apps[name] = _asked_of(name, each)
            except ValueError as error:
                faults.append(str(error))
        return state, faults


def _asked_of(name: str, plain: Any) -> AskedApp:
    """Return what was asked for one app.  Raises ValueError."""
    asked = codec.decode(AskedApp, plain, f"state.apps.{name}")
    if not names.is_app_name(name) or asked.spec.name != name:
        raise ValueError(f"state.apps: {name!a} is not the name of this app")
    return asked


def _asked(app: AppRecord) -> AskedApp:
    asked = None
    if app.operation is not None:
        asked = AskedOperation(
            action=app.operation.action,
            token=app.operation.token,
            started_at=app.operation.started_at,
        )
    return AskedApp(
        spec=app.spec,
        running=app.running,
        last_generation=app.last_generation,
        restarts=app.restarts,
        restarts_by=dict(app.restarts_by),
        replaced=app.replaced,
        totals=app.totals,
        ids=list(app.ids),
        finished=app.finished,
        serves_on_path=app.serves_on_path,
        last_report=app.last_report,
        operation=asked,
    )
