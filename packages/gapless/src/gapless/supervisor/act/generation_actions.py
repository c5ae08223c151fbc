"""What is done to generations: the probe, the switch, the way back, and the end."""

from __future__ import annotations

import selectors

from gapless.base import clock
from gapless.supervisor.act.probe import HttpProbe, host_for
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.decide.actions import STOPPED, TRIED_ON, TRYING
from gapless.supervisor.decide.addresses import covers
from gapless.supervisor.decide.ending import HANDSHAKE_S
from gapless.supervisor.decide.files import comparison, shared_state
from gapless.supervisor.decide.readiness import NOBODY
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Permit, Phase, Probe, Role
from gapless.supervisor.observe import shared_files
from gapless.supervisor.observe.evidence import UNSEEN, Evidence
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners

RELAY_QUIET_S, RELAY_HANDSHAKE_S = 0.2, 60.0
"""How long a relay waits for one more connection; longer while handshakes are open."""


class GenerationActions:
    """Acts on generations and their sockets."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        apps: Apps,
        listeners: Listeners,
        evidence: Evidence,
        *,
        relays: Relays,
        membership: Membership,
    ) -> None:
        self._membership = membership
        self._selector, self._apps, self._listeners = selector, apps, listeners
        self._evidence, self._relays = evidence, relays

    # --- a generation comes -----------------------------------------------------------

    def send_probe(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Send an HTTP probe to a generation; its outcome is noted when it comes."""
        generation.probe = Probe.UNDER_WAY

        def done(passed: bool, answer: str) -> None:
            generation.probe = Probe.PASSED if passed else Probe.NOT_ASKED
            generation.probe_answer = answer
            generation.probe_ended_at = clock.monotonic()
            self._apps.touch(app.name)
            if passed:
                said = answer.removeprefix("it ")
                app.step("probed", f"GET {generation.spec.ready.path} {said}")

        listener = self._probed(app, generation)
        if listener is None:  # it has shut down the socket on which it listened
            done(passed=False, answer=NOBODY)
            return
        try:
            host = host_for(listener, self._listeners.of_app(app.name))
            path, groups = generation.spec.ready.path, self._listeners.groups
            HttpProbe(self._selector, groups, listener, host, path, done=done)
        except OSError as error:
            done(passed=False, answer=str(error))

    def _probed(self, app: AppRecord, generation: GenerationRecord) -> Listener | None:
        """Return the socket that is asked, if one listens.

        It is one where the app listened before, if there is one.
        """
        before = {address for seat in generation.seats for address in seat.expected}
        own = self._listeners.of(app.name, generation.sockets_of)
        listening = [
            each for each in own if each.listening and not (each.shut or each.datagrams)
        ]
        for each in listening:
            if any(covers(each.group, address) for address in before):
                return each
        return next(iter(listening), None)

    def name_wait(
        self, app: AppRecord, generation: GenerationRecord, what: str
    ) -> None:
        """Tell those who wait what a generation waits for, once."""
        generation.waits_named = True
        app.step("waiting", what)

    def ask_permit(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Ask the client that requested a generation whether it may still switch."""
        generation.permit = Permit.ASKED
        generation.permit_asked_at = clock.monotonic()
        app.step("permit", "may it still switch?")

    def compare_files(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        successor: str = "",
        *,
        ready: bool,
    ) -> None:
        """Note which file a new generation may not have open beside the others.

        Or a *successor*, beside the instance that hangs.
        """
        began, members = clock.monotonic(), self._membership
        new = next((i for i in generation.instances if i.key == successor), None)
        before = generation.files if new is None else new.files
        if new is None:
            held = shared_files.held_files(members, app, generation)
        else:
            held = shared_files.held_beside(members, generation, new)
        held, lasting = shared_state.that_lasts(held, before.lasting)
        if generation.role is Role.PROVING or (new is not None and ready):
            held = shared_state.without_waits(held)
        conflict, path = shared_state.conflict(held)
        retires = generation.role is Role.RETIRING
        if conflict or not (retires or new is not None):
            generation.hint = shared_state.hint(path) if conflict else ""
        elif retires:
            conflict = before.conflict  # it was retired for that
        instances = generation.instances if new is None else [new]
        now = clock.monotonic()
        seen = comparison.noted(
            before,
            conflict,
            now,
            rivals=any(map(shared_state.is_state, held)),
            cpu_ticks=shared_files.cpu_ticks(members, instances),
            ready=ready,
            lasting=lasting,
            took_s=now - began,
        )
        if new is None:
            generation.files = seen
        else:
            new.files = seen
        if retires and conflict and conflict not in generation.failure:
            generation.failure = f"{generation.failure}; {conflict}"

    def switch(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Send new connections to a generation; the one before stands by."""
        now = clock.monotonic()
        before = app.in_role(Role.SERVING)
        try:
            self._listeners.steer(app.name, generation.sockets_of)
        except OSError as error:
            if before is None:
                raise
            reason = f"new connections cannot be moved: {error}"
            try:
                self._listeners.steer(app.name, before.sockets_of)
            except OSError as second:
                reason += f"; and not back either: {second}"
            self.retire(app, generation, reason)
            return
        generation.served = True
        app.serves_since = now
        app.stop_reason = ""  # the one before may have given up meanwhile
        if before is None:
            generation.follows = 0
            generation.enter(Role.SERVING, now)
            return
        self._evidence.note_handshakes(app, before)
        before.enter(Role.STANDBY, now)
        generation.enter(Role.PROVING, now)
        app.step("switched", f"watched for {generation.spec.min_healthy_s:g} s")

    def try_on(self, app: AppRecord, generation: GenerationRecord, reason: str) -> None:
        """Let a first start serve that is not ready in time; whoever waits is told."""
        self.switch(app, generation)
        if app.operation is not None:
            app.operation.failure = f"{reason}; {TRIED_ON}"
        app.step(TRYING, reason)

    def mark_proven(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Let a generation serve for good; those before retire, or have given way."""
        if generation.role is Role.RECYCLING:
            app.serves_since = clock.monotonic()
            self._drop_unused(app, generation)
        generation.enter(Role.SERVING, clock.monotonic())
        generation.follows = 0
        yielding = app.in_role(Role.YIELDING)
        if yielding is not None and yielding.failure:
            # Not "proven": a publisher flips the link on that word.
            ready = any(i.phase is Phase.READY for i in generation.instances)
            step = "restored" if ready else TRYING
            app.step(step, f"generation {generation.number}")
        else:
            app.step("proven", "")
            roles = {each.role for each in app.generations}
            app.replaced += bool(roles & {Role.STANDBY, Role.YIELDING})
        for before in list(app.generations):
            if before.role is Role.STANDBY:
                self.begin_to_finish(app, before)
                app.step("draining", f"generation {before.number}")
            elif before.role is Role.YIELDING:
                self.close(app, before)  # it has given up every seat

    def _drop_unused(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Close the sockets of the generation before that this one has not bound again."""
        kept = set(generation.spec.listen)
        for instance in generation.instances:
            kept |= instance.listens | instance.bound
        if kept:
            self._listeners.drop(app.name, generation.sockets_of, kept)

    # --- the way back -----------------------------------------------------------------

    def revert(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        to: GenerationRecord,
        reason: str,
    ) -> None:
        """Go back to the generation before one that failed."""
        app.take_back(generation)
        if generation.role is Role.RECYCLING:
            self._change_places(app, generation, to, reason)
            return
        try:
            self._listeners.steer(app.name, to.sockets_of)
        except OSError as error:  # there is nobody else to go to
            reason = f"{reason}; new connections cannot be moved back: {error}"
        to.enter(Role.SERVING, clock.monotonic())
        generation.failure = reason
        generation.handshakes = self._evidence.handshakes(app)
        self.begin_to_finish(app, generation)
        app.step("reverted", f"generation {to.number} serves: {reason}")

    def _change_places(
        self,
        app: AppRecord,
        failed: GenerationRecord,
        before: GenerationRecord,
        reason: str,
    ) -> None:
        """Let the generation before take back the seats that it gave up."""
        now = clock.monotonic()
        self._listeners.resume(app.name, before.sockets_of)
        before.quiesced = failed.quiesced = False
        failed.failure = reason
        failed.enter(Role.YIELDING, now)
        before.enter(Role.RECYCLING, now)
        for seat in before.seats:
            seat.short_lives, seat.exited_at = 0, None
        app.step("reverted", f"generation {before.number} comes back: {reason}")

    # --- a generation goes ------------------------------------------------------------

    def retire(self, app: AppRecord, generation: GenerationRecord, reason: str) -> None:
        """Let a generation finish what it began; *reason* says why it failed, if so."""
        was = generation.role
        app.take_back(generation)
        generation.failure = reason
        groups = self._listeners.groups
        own = self._listeners.of(app.name, generation.sockets_of)
        generation.served |= any(groups.takes_connections(each) for each in own)
        self.begin_to_finish(app, generation)
        if was is Role.TRIAL:
            app.step("failed", reason)
        if app.running and app.current() is None and reason != STOPPED:
            app.stop_reason = reason

    def finish(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Count an app as stopped whose instances have all ended as they were meant to."""
        app.running, app.finished = False, True
        self.begin_to_finish(app, generation)

    def begin_to_finish(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Let a generation retire."""
        generation.enter(Role.RETIRING, clock.monotonic())
        generation.idle_checks = 0
        self._evidence.update(app)  # the next plan must not decide on old evidence

    def give_up(
        self, app: AppRecord, generation: GenerationRecord, ordinal: int, reason: str
    ) -> None:
        """Start no more instances in a seat."""
        seat = generation.seats[ordinal]
        seat.given_up, seat.exit_reason = True, reason
        app.step("failed", f"gave up: {reason}")

    def quiesce(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Let no new connection begin where no other generation takes over."""
        generation.quiesced = True  # tried once: what fails now would fail again
        # What the next one has not is this one's until it ends: it may ask itself there.
        for_good = generation.role is Role.RETIRING and app.current() is None
        own = generation.sockets_of
        if self._listeners.quiesce(app.name, own, for_good=for_good):
            self._evidence.note_handshakes(app, generation)
        self._evidence.update(app)

    def resume(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Undo `quiesce`."""
        generation.quiesced = False
        self._listeners.resume(app.name, generation.sockets_of)

    def start_relays(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Serve the connections that wait in the queues of a dead generation."""
        quiet_s = RELAY_HANDSHAKE_S if generation.handshakes else RELAY_QUIET_S
        drained_s = clock.monotonic() - generation.since
        if generation.handshakes == {UNSEEN} and drained_s > HANDSHAKE_S:
            quiet_s = RELAY_QUIET_S  # those that may have been under way are over
        for listener in self._listeners.of(app.name, generation.sockets_of):
            if listener.listening and not (listener.shut or listener.datagrams):
                by_source = self._listeners.chooses_by_source(listener)
                self._relays.start(
                    app, generation, listener, quiet_s, by_source=by_source
                )
                generation.relayed = True
        generation.handshakes = set()

    def close(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Close the sockets of a generation that has ended, and forget it."""
        shares = app.shares_sockets(generation)
        if not shares:
            generation.connections_cut += self._evidence.queued(app, generation)
        if app.operation is not None:
            app.operation.add(generation)
        if not shares:
            for listener in self._listeners.of(app.name, generation.sockets_of):
                self._listeners.leave(listener)
        self._evidence.forget(app, generation)
        app.generations.remove(generation)
        app.step("closed", f"generation {generation.number}")
