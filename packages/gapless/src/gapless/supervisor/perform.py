"""Carry out what `plan` decided, one action at a time.

Every action may be repeated: a supervisor that died after it and before its note is
followed by one that decides the same again.
"""

from __future__ import annotations

import selectors
import signal

from gapless.base import clock
from gapless.supervisor import model, notify, processes
from gapless.supervisor.hands import Hands
from gapless.supervisor.launch import Launcher
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Mode, Permit, Phase, Probe, Role
from gapless.supervisor.observe import Evidence
from gapless.supervisor.probe import HttpProbe
from gapless.supervisor.records import AppRecord, GenerationRecord, InstanceRecord
from gapless.supervisor.speakers import Speakers


class Performer:
    """The only one who acts on apps."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        *,
        hands: Hands,
        listeners: Listeners,
        evidence: Evidence,
        launcher: Launcher,
        speakers: Speakers,
    ) -> None:
        self._selector = selector
        self._hands = hands
        self._listeners = listeners
        self._evidence = evidence
        self._launcher = launcher
        self._speakers = speakers

    def perform(self, app: AppRecord, action: model.Action) -> None:
        """Carry out one action."""
        match action:
            case model.Start(generation, ordinal):
                self._launcher.start(app, app.generation(generation), ordinal)
            case model.Ripen(key):
                self._ripen(app, key)
            case model.Ask(generation):
                self._ask(app, app.generation(generation))
            case model.Switch(generation):
                self._switch(app, app.generation(generation))
            case model.Prove(generation):
                self._prove(app, app.generation(generation))
            case model.Revert(generation, to, reason):
                self._revert(
                    app, app.generation(generation), app.generation(to), reason
                )
            case model.Retire(generation, reason):
                self._retire(app, app.generation(generation), reason)
            case model.AskPermit(generation):
                asked = app.generation(generation)
                asked.permit, asked.permit_asked = Permit.ASKED, clock.monotonic()
                self._step(app, "permit", "may it still switch?")
            case model.Quiesce(generation):
                self._quiesce(app, app.generation(generation))
            case model.Resume(generation):
                app.generation(generation).quiesced = False
                self._listeners.resume(app.name, app.generation(generation).lineage)
            case model.Drain(key, mode):
                self._drain(app, key, mode)
            case model.Tell(key, reason):
                self._tell(app, key, reason)
            case model.Kill(key, reason):
                self._kill(app, key, reason)
            case model.GiveUp(generation, ordinal, reason):
                seat = app.generation(generation).seats[ordinal]
                seat.given_up, seat.why = True, reason
                self._step(app, "failed", f"gave up: {reason}")
            case model.Finish(generation):
                app.running, app.finished = False, True
                self._begin_to_finish(
                    app, app.generation(generation), clock.monotonic()
                )
            case model.Rescue(generation):
                self._rescue(app, app.generation(generation))
            case model.Close(generation):
                self._close(app, app.generation(generation))

    # --- a generation comes -------------------------------------------------------

    def _ripen(self, app: AppRecord, key: str) -> None:
        generation, instance = _found(app, key)
        instance.phase, instance.ready_at = Phase.READY, clock.monotonic()
        ready = sum(i.phase is Phase.READY for i in generation.instances)
        if generation.role is Role.RECYCLING:
            generation.since = instance.ready_at  # it is watched from the last one on
            self._step(app, "ready", f"instance {instance.ordinal}")
        elif ready == len(generation.seats):
            self._step(app, "ready", ", ".join(sorted(instance.listens)))

    def _ask(self, app: AppRecord, generation: GenerationRecord) -> None:
        own = [
            each
            for each in self._listeners.of(app.name, generation.lineage)
            if each.listening
        ]
        generation.probe = Probe.UNDER_WAY

        def done(passed: bool, said: str) -> None:
            generation.probe = Probe.PASSED if passed else Probe.NOT_ASKED
            generation.probe_said = said
            generation.probe_ended = clock.monotonic()
            if passed:
                self._step(app, "probed", said)

        try:
            path = generation.spec.ready.path
            HttpProbe(self._selector, self._listeners, own[0], path, done)
        except OSError as error:
            done(passed=False, said=str(error))

    def _switch(self, app: AppRecord, generation: GenerationRecord) -> None:
        now = clock.monotonic()
        before = app.in_role(Role.SERVING)
        self._listeners.steer(app.name, generation.lineage)
        generation.served = True
        app.since = clock.wall()
        if before is None:
            generation.enter(Role.SERVING, now)
            return
        before.handshakes = self._evidence.handshakes(app)
        before.enter(Role.STANDBY, now)
        generation.enter(Role.PROVING, now)
        self._step(app, "switched", f"watched for {generation.spec.min_healthy_s:g} s")

    def _prove(self, app: AppRecord, generation: GenerationRecord) -> None:
        now = clock.monotonic()
        if generation.role is Role.RECYCLING:
            app.since = clock.wall()
        generation.enter(Role.SERVING, now)
        yielding = app.in_role(Role.YIELDING)
        if yielding is not None and yielding.failure:
            # Not "proven": whoever publishes flips the link on that word.
            self._step(app, "restored", f"generation {generation.number}")
        else:
            self._step(app, "proven", "")
        for before in list(app.generations):
            if before.role is Role.STANDBY:
                self._begin_to_finish(app, before, now)
                self._step(app, "draining", f"generation {before.number}")
            elif before.role is Role.YIELDING:
                self._close(app, before)  # it has given up every seat

    def _revert(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        to: GenerationRecord,
        reason: str,
    ) -> None:
        now = clock.monotonic()
        if generation.role is Role.RECYCLING:
            self._change_places(app, generation, to, reason)
            return
        self._listeners.steer(app.name, to.lineage)
        to.enter(Role.SERVING, now)
        generation.failure = reason
        generation.handshakes = self._evidence.handshakes(app)
        self._begin_to_finish(app, generation, now)
        self._step(app, "reverted", f"generation {to.number} serves: {reason}")

    def _change_places(
        self,
        app: AppRecord,
        failed: GenerationRecord,
        before: GenerationRecord,
        reason: str,
    ) -> None:
        """Let the generation before take back the seats that it gave up."""
        now = clock.monotonic()
        self._listeners.resume(app.name, before.lineage)
        before.quiesced = failed.quiesced = False
        failed.failure = reason
        failed.enter(Role.YIELDING, now)
        before.enter(Role.RECYCLING, now)
        for seat in before.seats:
            seat.short_lives, seat.ended = 0, None
        self._step(app, "reverted", f"generation {before.number} comes back: {reason}")

    # --- a generation goes --------------------------------------------------------

    def _drain(self, app: AppRecord, key: str, mode: Mode) -> None:
        generation, instance = _found(app, key)
        instance.mode, instance.mode_since = mode, clock.monotonic()
        instance.quiet_looks = 0
        if generation.role is Role.YIELDING:
            instance.calls = ()  # those that are there now are waited for from now on
        self._speakers.order(key, mode)
        if generation.role is Role.YIELDING and mode is Mode.RECYCLE:
            self._step(app, "draining", f"instance {instance.ordinal}")
        self._evidence.look(app)

    def _retire(
        self, app: AppRecord, generation: GenerationRecord, reason: str
    ) -> None:
        was = generation.role
        generation.failure = reason
        generation.served |= any(
            self._listeners.is_alone(listener)
            for listener in self._listeners.of(app.name, generation.lineage)
        )
        self._begin_to_finish(app, generation, clock.monotonic())
        if was is Role.TRIAL:
            self._step(app, "failed", reason)
        if app.running and app.current() is None:
            app.stopped_why = reason

    def _begin_to_finish(
        self, app: AppRecord, generation: GenerationRecord, now: float
    ) -> None:
        generation.enter(Role.RETIRING, now)
        generation.quiet_looks = 0
        self._evidence.look(app)  # what the next plan decides on must not be old

    def _quiesce(self, app: AppRecord, generation: GenerationRecord) -> None:
        generation.quiesced = True  # tried once: what fails now would fail again
        self._listeners.quiesce(app.name, generation.lineage)
        self._evidence.look(app)

    def _tell(self, app: AppRecord, key: str, reason: str) -> None:
        generation, instance = _found(app, key)
        if instance.told is None:
            instance.told, instance.told_why = clock.monotonic(), reason
        instance.phase = Phase.DRAINING
        if app.operation is not None and not app.operation.took("stopping"):
            said = ": ".join(filter(None, [reason, instance.under_way()]))
            self._step(app, "stopping", f"generation {generation.number}: {said}")
        if not instance.leader_alive:
            instance.orphans_told = True
            number = signal.Signals[generation.spec.stop.signal]
            self._signal_members(instance, number)
        elif not (
            generation.spec.stop.message and self._launcher.send(key, notify.SHUTDOWN)
        ):
            _signal(instance, signal.Signals[generation.spec.stop.signal])

    def _kill(self, app: AppRecord, key: str, reason: str) -> None:
        generation, instance = _found(app, key)
        if instance.told is None:
            instance.told, instance.told_why = clock.monotonic(), reason
        instance.killed, instance.phase = True, Phase.DRAINING
        self._evidence.look(app)
        if generation.role is Role.SERVING:
            generation.seats[instance.ordinal].why = reason
        _signal(instance, signal.SIGKILL)
        if generation.spec.stop.tree:
            self._signal_members(instance, signal.SIGKILL)

    def _signal_members(self, instance: InstanceRecord, number: int) -> None:
        table = processes.snapshot()
        for pid in self._evidence.members(table, instance):
            processes.signal_exactly(table[pid], number)

    def _rescue(self, app: AppRecord, generation: GenerationRecord) -> None:
        for listener in self._listeners.of(app.name, generation.lineage):
            if listener.listening and not listener.shut:
                quiet_s = 60.0 if generation.handshakes else 0.2
                self._launcher.start_relay(app, generation, listener, quiet_s)
                generation.rescued = True
        generation.handshakes = set()

    def _close(self, app: AppRecord, generation: GenerationRecord) -> None:
        if not app.shares_sockets(generation):
            generation.connections_cut += self._evidence.queued(app, generation)
        if app.operation is not None:
            app.operation.connections_seen += generation.connections_seen
            app.operation.connections_cut += generation.connections_cut
            app.operation.calls_seen += generation.calls_seen
            app.operation.calls_cut += generation.calls_cut
            app.operation.add(generation.counts)
        if not app.shares_sockets(generation):
            for listener in self._listeners.of(app.name, generation.lineage):
                self._listeners.leave(listener)
        self._evidence.forget(app, generation)
        app.generations.remove(generation)
        self._step(app, "closed", f"generation {generation.number}")

    def _step(self, app: AppRecord, name: str, detail: str) -> None:
        if app.operation is not None:
            app.operation.step(name, clock.monotonic(), detail)


def _found(app: AppRecord, key: str) -> tuple[GenerationRecord, InstanceRecord]:
    found = app.instance(key)
    if found is None:
        raise LookupError(f"{app.name} has no instance {key}")
    return found


def _signal(instance: InstanceRecord, number: int) -> None:
    if instance.pidfd >= 0 and instance.leader_alive:
        try:
            signal.pidfd_send_signal(instance.pidfd, number)
        except ProcessLookupError:
            return  # its end is on its way to us
