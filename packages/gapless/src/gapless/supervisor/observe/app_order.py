"""Which apps wait for others, as they name them in `after`: when they start and end."""

from __future__ import annotations

from gapless.base import clock
from gapless.base.outside.text import counted
from gapless.supervisor.decide import order, readiness
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.state import HostRecord

CHECK_S = 0.5
"""How often an app that waits is looked at; it is touched when another is ready."""


class AppOrder:
    """Holds new generations and ends back until it is their turn."""

    def __init__(self, apps: Apps, host: HostRecord) -> None:
        self._apps, self._host = apps, host
        self._waiting: dict[str, set[str]] = {}
        """The apps that wait to start or to end, and for which; others cost nothing."""

    # --- starts -----------------------------------------------------------------------

    def begin(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Hold a new generation back while apps come up that its app is after."""
        if not generation.spec.after:
            return
        now = clock.monotonic()
        known = [self._apps[n] for n in generation.spec.after if n in self._apps]
        coming_up = [each.name for each in known if self._comes_up(each, now)]
        waiting = {
            each.name: other.waits_for
            for each in self._apps.values()
            for other in each.generations
            if other.waits_for and each is not app
        }
        generation.waits_for = order.to_wait_for(
            app.name, generation.spec.after, coming_up, waiting
        )
        if generation.waits_for:
            self._note(app, generation.waits_for)
            app.step("waiting", f"until {_names(generation.waits_for)} is ready")
        for each in known:
            if each.name not in generation.waits_for:
                self._remark(app, generation, each, waited=False)

    def update(self, app: AppRecord) -> None:
        """Let a generation that was held start, once nothing it waits for comes up."""
        found = [each for each in app.generations if each.waits_for]
        now = clock.monotonic()
        for generation in found:
            for name in sorted(generation.waits_for):
                other = self._apps.get(name)
                if other is not None and self._comes_up(other, now):
                    continue
                generation.waits_for.discard(name)
                if other is not None and generation.role is not Role.RETIRING:
                    self._remark(app, generation, other, waited=True)
            if not generation.waits_for and generation.role is not Role.RETIRING:
                generation.enter(generation.role, now)
                app.step("starting", counted(len(generation.seats), "instance"))
        held = [each for each in found if each.waits_for]
        self._note(app, {name for each in held for name in each.waits_for})

    def _remark(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        other: AppRecord,
        *,
        waited: bool,
    ) -> None:
        """Tell an app that another one, which it is after, has not come up."""
        reason = _failure(other, waited=waited)
        if not reason:
            return
        text = (
            f"{other.name} {reason}; {app.name} starts all the same, since `after` "
            f"orders and does not require"
        )
        generation.order_remarks.append(text)
        app.step("unordered", text)

    # --- ends -------------------------------------------------------------------------

    def ends_later(self, app: AppRecord) -> bool:
        """Return whether an app that is to end has to wait for others that end too."""
        if all(each.role is Role.RETIRING for each in app.generations):
            return False
        after, ending = {}, []
        for each in self._apps.values():
            after[each.name] = each.spec.after
            ends = not each.running or self._host.shutting_down
            if each is not app and ends and each.generations:
                ending.append(each.name)
        found = order.to_end_first(app.name, after, ending)
        self._note(app, found)
        return bool(found)

    # --- both -------------------------------------------------------------------------

    def _comes_up(self, app: AppRecord, now: float) -> bool:
        if app.waiting is not None and app.waiting.action not in ("stop", "delete"):
            return True
        if app.comes_back() and not self._host.shutting_down:
            return True  # its end was asked for, and that was taken back
        ends = app.operation is not None and app.operation.action in ("stop", "delete")
        return not ends and any(
            readiness.comes_up(each.value(), now) for each in app.generations
        )

    def waits_for(self, app: AppRecord) -> list[str]:
        """Return the apps that an app waits for now."""
        return sorted(self._waiting.get(app.name, ()))

    def _note(self, app: AppRecord, names: set[str]) -> None:
        if names:
            self._waiting[app.name] = set(names)
        else:
            self._waiting.pop(app.name, None)

    def forget(self, app: AppRecord) -> None:
        """Drop what was remembered of an app that is gone; nobody waits for it."""
        self._waiting.pop(app.name, None)
        self.settled(app)

    def settled(self, app: AppRecord) -> None:
        """Touch the apps that wait for one that has just been looked at."""
        for name, others in self._waiting.items():
            if app.name in others:
                self._apps.touch(name)


def _failure(app: AppRecord, *, waited: bool) -> str:
    """Return how an app has failed to come up; empty if it has not."""
    if not app.running:
        return ""
    current = app.current()
    if current is None:
        return f"did not start: {app.stop_reason}" if app.stop_reason else ""
    if not waited:
        return ""
    ready = {i.ordinal for i in current.instances if i.phase is Phase.READY}
    if not ready:
        why = next((s.exit_reason for s in current.seats if s.exit_reason), "")
        return "is not ready" + (f": its last instance {why}" if why else "")
    failed = [each.failure for each in app.generations if each.failure]
    last = app.last_report
    if app.operation is None and last is not None and last["outcome"] == "failed":
        failed.append(last["reason"])
    return f"was not reloaded, and serves as before: {failed[0]}" if failed else ""


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))
