"""What the supervisor remembers of an app, and the apps of a host by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gapless.base import clock, codec
from gapless.base.codec import TRANSIENT, was
from gapless.base.errors import NotFoundError, UnavailableError
from gapless.supervisor.memory import model, spec
from gapless.supervisor.memory.counts import Totals
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.spec import AppSpec

OUTLIVES_S = 30.0
"""After so long a process that was killed is one that cannot end."""


@dataclass(slots=True)
class AppRecord:
    """One app of this host."""

    name: str
    spec: spec.AppSpec
    running: bool = True
    generations: list[GenerationRecord] = field(default_factory=list)
    last_generation: int = 0
    last_serial: int = 0
    serves_since: float | None = None
    """When it was last started or handed off, on the monotonic clock."""
    stop_reason: str = field(default="", metadata=was("stopped_why"))
    restarts: int = 0
    restarts_by: dict[str, int] = field(default_factory=dict)
    """How many of them were for which reason: `exit` or `liveness`."""
    replaced: int = 0
    """How many times a new generation took the place of one that served."""
    totals: Totals = field(default_factory=Totals)
    """What its reports add up to."""
    ids: list[int] = field(default_factory=list)
    """One for each ordinal, unlike those of all other apps; they stay."""
    finished: bool = False
    """It was not stopped: its instances ended as they were meant to."""
    exit_code: int | None = None
    """How the last instance ended: its exit code, or minus the signal's number."""
    serves_on_path: bool = False
    """Whether it was seen to bind a Unix-domain path."""
    warning: str = ""
    """What gapless cannot do for it that was asked for."""
    takeover_trouble: str = ""
    """Why the connections of a generation could not be taken lately."""
    log_lines_lost: int = field(default=0, metadata=TRANSIENT)
    """How many lines its logs did not take; the keeper's count."""
    log_trouble: str = field(default="", metadata=TRANSIENT)
    """Why its logs take nothing now; empty if they do."""
    pid_files: dict[str, int] = field(default_factory=dict, metadata=was("written"))
    """The pid files that are there, and what is in them."""
    operation: Operation | None = None
    waiting: Operation | None = None
    last_report: dict[str, Any] | None = None
    deleted: bool = False

    def generation(self, number: int) -> GenerationRecord:
        """Return the generation of that number; raises LookupError."""
        for generation in self.generations:
            if generation.number == number:
                return generation
        raise LookupError(f"{self.name} has no generation {number}")

    def current(self) -> GenerationRecord | None:
        """Return the newest generation that serves."""
        return self.in_role(Role.SERVING, Role.PROVING, Role.RECYCLING) or self.in_role(
            Role.YIELDING
        )

    def spec_that_serves(self) -> AppSpec:
        """Return the configuration that serves; that asked for, where none does."""
        serving = self.in_role(Role.SERVING)
        return self.spec if serving is None else serving.spec

    def take_back(self, failed: GenerationRecord) -> None:
        """Ask again for what served before a generation that failed, or that is replaced.

        A first start follows nothing: its configuration stays what is asked for.
        """
        operation = self.operation
        its_own = operation is not None and operation.generation == failed.number
        follows: int | None = failed.follows
        old = failed.role is not Role.SERVING and not follows and its_own
        if operation is not None and old:  # begun by a supervisor of before
            follows = operation.old_generation
        before = [g for g in self.generations if g.number == follows]
        if not before:
            return
        self.spec = before[0].spec
        if operation is not None and its_own:
            self.ids = operation.ids_before or self.ids

    def is_missing(self) -> bool:
        """Return whether nothing is there of an app that is to run, and nothing failed.

        So it is after a shutdown that was interrupted and taken back.
        """
        here = self.generations or self.operation or self.stop_reason
        return self.running and not here

    def cannot_end(self, now: float) -> bool:
        """Return whether all that is left of it outlives SIGKILL: its disk hangs, say."""
        left = [(g, each) for g in self.generations for each in g.instances]
        return bool(left) and all(
            each.killed
            and each.stop_sent_at is not None
            and now > each.stop_sent_at + g.spec.stop.kill_timeout_s + OUTLIVES_S
            for g, each in left
        )

    def comes_back(self) -> bool:
        """Return whether an app that is to run is missing, or will be once it has ended."""
        leaves = all(each.role is Role.RETIRING for each in self.generations)
        return self.running and leaves and not (self.operation or self.stop_reason)

    @property
    def limits_trouble(self) -> str:
        """Which limits of its instances have no effect, and why; the newest ones first."""
        newest = (g.instances for g in reversed(self.generations))
        troubles = (each.limits_trouble for own in newest for each in own)
        return next(filter(None, troubles), "")

    def up_since(self) -> float | None:
        """Return since when it serves, or at least runs, on the monotonic clock."""
        if self.serves_since is not None:
            return self.serves_since
        started = (i.started for g in self.generations for i in g.instances)
        return min(started, default=None)

    def shares_sockets(self, generation: GenerationRecord) -> bool:
        """Return whether another generation uses the sockets of this one too."""
        return any(
            other.sockets_of == generation.sockets_of
            for other in self.generations
            if other is not generation
        )

    def in_role(self, *roles: Role) -> GenerationRecord | None:
        """Return the newest generation in one of *roles*."""
        found = [g for g in self.generations if g.role in roles]
        return found[-1] if found else None

    def instance(self, key: str) -> tuple[GenerationRecord, InstanceRecord] | None:
        """Return an instance with its generation."""
        for generation in self.generations:
            for instance in generation.instances:
                if instance.key == key:
                    return generation, instance
        return None

    def instances(self) -> Iterator[InstanceRecord]:
        """Yield the instances of every generation."""
        for generation in self.generations:
            yield from generation.instances

    def count_restart(self, seat: SeatRecord, reason: str) -> None:
        """Count that the instance of a seat is replaced, and why."""
        seat.restarts += 1
        self.restarts += 1
        self.restarts_by[reason] = self.restarts_by.get(reason, 0) + 1

    def forget_restarts(self) -> None:
        """Count restarts from zero."""
        self.restarts, self.restarts_by, self.replaced = 0, {}, 0

    def step(self, name: str, detail: str) -> None:
        """Note a step of the operation under way, if there is one."""
        if self.operation is not None:
            self.operation.step(name, clock.monotonic(), detail)

    def observed(self, now: float) -> model.Observed:
        """Return what the plan may know."""
        ordered = sorted(self.generations, key=lambda g: g.number)
        return model.Observed(now=now, generations=tuple(g.value() for g in ordered))


Found = tuple[AppRecord, GenerationRecord, InstanceRecord]


class Apps(dict[str, AppRecord]):
    """The apps of this host, by name; knows which of them the loop has to look at.

    Whatever changes an app touches it: a turn of the loop costs what it touched, however
    many apps there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.touched: dict[str, None] = {}
        """The names of apps that changed, or may have, in the order in which they did."""
        self._last_id = -1
        self.unread: dict[str, str] = {}
        """By name: why the note of an app could not be read.

        It is of another version.  Such an app serves on, and nothing of it is changed.
        """

    def is_unread(self, key: str) -> bool:
        """Return whether an instance is of an app whose note could not be read."""
        return key.partition("/")[0] in self.unread

    def check_read(self, name: str) -> None:
        """Refuse what was asked about an app that is left alone.

        Raises UnavailableError.
        """
        if name in self.unread:
            raise UnavailableError(
                f"{name}: could not read what the last supervisor noted: "
                f"{self.unread[name]}",
                hint="it serves on, and is left alone; `gapless upgrade` of the version "
                "that wrote it, which is another one, has it back",
            )

    def __setitem__(self, name: str, app: AppRecord) -> None:
        """Add an app, or put it in the place of another."""
        super().__setitem__(name, app)
        self._last_id = max(self._last_id, *app.ids, -1)
        self.touch(name)

    def __delitem__(self, name: str) -> None:
        """Forget an app; its ids are free if they are the last ones."""
        super().__delitem__(name)
        self.touched.pop(name, None)
        self._last_id = max((i for each in self.values() for i in each.ids), default=-1)

    def touch(self, *names: str) -> None:
        """Let the loop look at apps before it sleeps again."""
        self.touched.update(dict.fromkeys(name for name in names if name in self))

    def named(self, name: str | None) -> AppRecord:
        """Return an app by name.  Raises NotFoundError, UnavailableError."""
        self.check_read(name or "")
        app = self.get(name or "")
        if app is None:
            known = ", ".join(sorted(self)) or "none"
            raise NotFoundError(
                f"there is no app named {name!a}", hint=f"apps here: {known}"
            )
        return app

    def find(self, key: str) -> Found | None:
        """Return an instance, by its key, with its app and its generation; touch the app.

        Who asks by a key has news of that instance.
        """
        found = self.look(key)
        if found is not None:
            self.touch(found[0].name)
        return found

    def look(self, key: str) -> Found | None:
        """Return an instance, by its key, with its app and its generation."""
        app = self.get(key.partition("/")[0])
        found = app.instance(key) if app else None
        return None if app is None or found is None else (app, *found)

    def keep_newest_ids(self, app: AppRecord, before: int, count: int) -> None:
        """Let *count* of *before* ordinals have the newest ids, as PM2's `scale` does.

        The others stay known, at the end, while what has them finishes.
        """
        leave = before - count
        if 0 < leave < before <= len(app.ids):
            app.ids = app.ids[leave:before] + app.ids[:leave]

    def allot_ids(self, app: AppRecord, count: int) -> None:
        """Give an app ids for *count* ordinals, none of them anybody else's."""
        first = self._last_id + 1
        app.ids += range(first, first + count - len(app.ids))
        self._last_id = max(self._last_id, *app.ids, -1)


def read_note(plain: Any) -> AppRecord:
    """Return the app of a note that an earlier supervisor wrote.

    Raises WrongTypeError.
    """
    app = codec.decode(AppRecord, plain, "note")
    for generation in app.generations:
        generation.doubt(clock.monotonic())
    return app
