"""What the supervisor remembers of an app, and the apps of a host by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gapless.base import clock, codec
from gapless.base.codec import was
from gapless.supervisor.memory import model, spec
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.operations import Operation


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
    ids: list[int] = field(default_factory=list)
    """One for each ordinal, unlike those of all other apps; they stay."""
    finished: bool = False
    """It was not stopped: its instances ended as they were meant to."""
    exit_code: int | None = None
    """How the last instance ended: its exit code, or minus the signal's number."""
    warning: str = ""
    """What gapless cannot do for it that was asked for."""
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
    """The apps of this host, by name."""

    def find(self, key: str) -> Found | None:
        """Return an instance, by its key, with its app and its generation."""
        app = self.get(key.partition("/")[0])
        found = app.instance(key) if app else None
        return (app, *found) if app and found else None

    def allot_ids(self, app: AppRecord, count: int) -> None:
        """Give an app ids for *count* ordinals, none of them anybody else's."""
        first = max((i for other in self.values() for i in other.ids), default=-1) + 1
        app.ids += range(first, first + count - len(app.ids))


def read_note(plain: Any) -> AppRecord:
    """Return the app of a note that an earlier supervisor wrote.

    Raises WrongTypeError.
    """
    app = codec.decode(AppRecord, plain, "note")
    for generation in app.generations:
        generation.doubt()
    return app
