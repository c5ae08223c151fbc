"""A rehearsal: start the current release, hand over to the candidate under load, and back.

Rule 1: everything happens on the stage (`stage.py`): what really runs is never asked to
change, and its ports, files and home are out of reach (`confinement.py`).
Rule 2: the load never pauses between the first window and the last.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError, HandoffError, MisuseError
from gapless.rehearsal import advice, handoffs, listening, other_ways, results
from gapless.rehearsal.load.client import Place
from gapless.rehearsal.load.load import Load
from gapless.rehearsal.load.model import Traffic, mixed
from gapless.rehearsal.model import (
    AFTER,
    AT_REST,
    AUTO,
    BACK,
    CANDIDATE,
    FAILED,
    LOST,
    ON_HOST,
    OVER,
    PASSED,
    PRIVATE,
    TO_CANDIDATE,
    WAY_BACK,
    HandoffResult,
    Memory,
    OtherWay,
    Report,
    Settings,
    Side,
    Subject,
)
from gapless.rehearsal.places import moved, port_of, ports_of
from gapless.rehearsal.results import Window
from gapless.rehearsal.stage import network
from gapless.rehearsal.stage.copying import Copying
from gapless.rehearsal.stage.stage import Stage
from gapless.supervisor.memory.spec import AppSpec, When

Progress = Callable[[str], None]
Sentence = Callable[[dict[str, Any]], str]
"""Returns what people are told of a step of an operation; empty: nothing."""
LONGEST_HEALTHY_S = 3.0
FIRST_ANSWER_S = 5.0
"""So long a request may take that is sent for the first time."""
_PAUSE_S = 0.05


class Rehearsal:
    """One rehearsal of one subject."""

    def __init__(
        self,
        stage: Stage,
        subject: Subject,
        settings: Settings,
        progress: Progress,
        sentence: Sentence,
    ) -> None:
        """Tell what is done by *progress*; *sentence* has the words for steps."""
        self._stage, self._subject, self._settings = stage, subject, settings
        self._progress, self._sentence = progress, sentence
        self._notes = list(subject.notes)
        self._windows: list[Window] = []
        self._memory: Memory | None = None

    def run(self) -> Report:
        """Rehearse, and return what was found.  Raises GaplessError."""
        wall, began = clock.wall(), clock.monotonic()
        settings, subject = self._settings, self._subject
        trees = self._copies()
        used, first, (current, candidate) = self._start(trees)
        place = listening.place_of(
            self._stage, current, settings, self._ports if used == ON_HOST else {}
        )
        self._progress(f"{subject.app}: the current release serves at {place.host}")
        paths = settings.paths or (_ready_path(current),)
        post = paths[0] if settings.post is None else settings.post
        traffics = mixed(paths, post, settings.rate, settings.headers)
        load = Load(place, traffics)
        load.start()
        try:
            self._measure_first(load, asked=results.asked(traffics), host=place.host)
            done = self._hand_over_and_back(current, candidate)
            load.stop()
        except BaseException:
            load.abandon()
            raise
        if load.trouble is not None:
            raise load.trouble
        found = results.results(load.requests, self._windows)
        self._notes += results.unasked(load.requests, self._windows[0])
        compares = settings.compares and all(each.is_done for each in done)
        others = self._compare(current, candidate, place, traffics) if compares else ()
        cut = sum(each.cut_count for each in done)
        outcome = LOST if found.lost or cut else PASSED
        if not done[0].is_done or not done[-1].is_done:
            outcome = FAILED
        return Report(
            app=subject.app,
            target=subject.target,
            outcome=outcome,
            started_at=clock.stamp(wall),
            took_s=round(clock.monotonic() - began, 2),
            network=used,
            current=_named(subject.current),
            candidate=_named(subject.candidate),
            paths=paths,
            post=post,
            requests=sum(each.requests for each in found.windows),
            lost=found.lost,
            cut=cut,
            first_start_s=handoffs.start_s(first),
            windows=found.windows,
            handoffs=tuple(done),
            memory=self._memory,
            losses=found.losses[: results.MOST_NAMED],
            advice=advice.advice(subject.candidate.spec, done, found),
            others=others,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # --- the beginning ----------------------------------------------------------------

    def _copies(self) -> tuple[str, str]:
        """Copy the directories of both sides; return where they lie now."""
        sides = (self._subject.current, self._subject.candidate)
        self._stage.let_in(side.spec.user for side in sides)
        found = []
        for name, side in (
            ("current", self._subject.current),
            ("candidate", self._subject.candidate),
        ):
            before = self._subject.current
            if side.tree.startswith(f"{self._stage.directory}/"):
                found.append(side.tree)  # it was made here
            elif found and side.tree == before.tree:
                found.append(found[0])  # as in a reload: both run in one directory
            else:
                self._progress(f"copying {side.tree}")
                target = self._stage.place(name)
                Copying({side.tree: target, **self._subject.paths}).copy(
                    side.tree, target
                )
                found.append(target)
        return found[0], found[1]

    def _start(
        self, trees: tuple[str, str]
    ) -> tuple[str, dict[str, Any], tuple[AppSpec, AppSpec]]:
        """Start the current release in the first network in which that works.

        Returns the network, the report, and the configurations of both sides.
        """
        wanted = self._settings.network
        sides = (self._subject.current, self._subject.candidate)
        told = [port for side in sides for port in ports_of(side.spec)]
        reason = handoffs.datagram_trouble(self._subject.addresses, told)
        told += [port_of(address) for address in self._subject.addresses]
        self._ports = listening.free_ports(dict.fromkeys(told or [0]))
        if wanted == ON_HOST and reason:
            raise self._needs_private(reason)
        if wanted in (AUTO, ON_HOST) and not reason:
            missing = self._begin(set(self._ports.values()))
            if not (
                missing and wanted == AUTO and not all(_intercepted(s) for s in sides)
            ):
                specs = self._specs(trees, self._ports)
                report = self._first_start(specs[0])
                row = self._settle(report)
                reason = handoffs.port_trouble(report, row, self._ports)
                if not reason:
                    self._check_start(report)
                    return ON_HOST, report, specs
            reason = reason or missing
            if wanted == ON_HOST:
                raise self._needs_private(reason)
            self._stage.end_supervisor()
        if reason:
            self._progress(f"{reason}; going on in a private network")
        network.enter()
        if wanted == AUTO:
            self._notes.append(
                f"it ran in a private network, where only this machine's files and "
                f"Unix-domain sockets are reached: {reason}"
            )
        self._begin(None)
        specs = self._specs(trees, {})
        report = self._first_start(specs[0])
        self._settle(report)
        self._check_start(report)
        return PRIVATE, report, specs

    def _needs_private(self, reason: str) -> MisuseError:
        return MisuseError(
            f"{self._subject.app}: {reason}",
            hint="--network private rehearses it in a network of its own",
        )

    def _begin(self, ports: set[int] | None) -> str:
        """Start the supervisor; return why the app may bind other ports than these."""
        missing = self._stage.begin(
            writable=self._settings.writable,
            ports=ports,
            has_limits=any(
                each.spec.limits.memory_bytes or each.spec.limits.cpu_percent
                for each in (self._subject.current, self._subject.candidate)
            ),
        )
        self._notes += missing.notes
        return missing.ports

    def _specs(
        self, trees: tuple[str, str], ports: dict[int, int]
    ) -> tuple[AppSpec, AppSpec]:
        subject = self._subject
        current, candidate = (
            self._spec(side, tree, ports)
            for side, tree in zip(
                (subject.current, subject.candidate), trees, strict=True
            )
        )
        return current, replace(candidate, name=current.name)

    def _spec(self, side: Side, tree: str, ports: dict[int, int]) -> AppSpec:
        paths = {side.tree: tree, **self._subject.paths}
        if self._subject.releases is not None:
            paths[self._subject.releases.link] = tree
        if side.spec.declared_directory and side.spec.directory == side.tree:
            paths[side.spec.declared_directory] = tree
        paths |= listening.paths_of(self._stage, self._subject.addresses)
        spec = moved(side.spec, ports=ports, paths=paths)
        own = self._stage.environment() | self._settings.variables
        return replace(
            spec,
            environment=spec.environment | own,
            configured=tuple(sorted({*spec.configured, *own})),
            min_healthy_s=min(spec.min_healthy_s, LONGEST_HEALTHY_S),
        )

    def _first_start(self, spec: AppSpec) -> dict[str, Any]:
        self._progress(f"starting the current release of {spec.name}")
        return self._stage.change("start", spec)

    def _settle(self, report: dict[str, Any]) -> dict[str, Any]:
        """Return the app's row when it listens; if it crashed, the report says so.

        One that takes long to start counts as started before it listens.
        """
        name = report["app"]
        row = listening.settled(self._stage)
        if report["outcome"] == "done" and (
            row["restarts"] or row["status"] not in listening.LIVES
        ):
            report |= {
                "outcome": "failed",
                "reason": row["reason"] or f"it has crashed {row['restarts']} times",
                "log_tail": listening.log_lines(self._stage, name),
            }
        return row

    def _check_start(self, report: dict[str, Any]) -> None:
        """Raise HandoffError if the current release did not start."""
        if report["outcome"] != "done":
            raise HandoffError(
                f"{self._subject.app}: the current release does not start in a rehearsal: "
                f"{handoffs.text_of(report)}",
                hint=advice.hint_of_start(report),
            )

    # --- under load -------------------------------------------------------------------

    def _measure_first(
        self, load: Load, *, asked: set[tuple[str, str]], host: str
    ) -> None:
        """Measure the current release until each request was answered once.

        Raises GaplessError if none was.
        """
        began = clock.monotonic()
        self._wait(AT_REST, self._settings.duration_s)
        until = clock.monotonic() + FIRST_ANSWER_S
        while (
            not asked <= results.answered(load.requests) and clock.monotonic() < until
        ):
            select.select([], [], [], _PAUSE_S)
        self._window(AT_REST, began)
        if not results.answered(load.requests):
            fates = sorted({f"{each.fate} {each.detail}" for each in load.requests})
            raise GaplessError(
                f"{self._subject.app}: no request was answered at {host}: "
                f"{'; '.join(fates[:3]) or 'none ended in time'}",
                hint="it must speak HTTP/1.1 there; --path names what to ask for, --port "
                "another of its ports",
            )

    def _hand_over_and_back(
        self, current: AppSpec, candidate: AppSpec
    ) -> list[HandoffResult]:
        rest_s = self._settings.duration_s
        done = [self._hand_over(TO_CANDIDATE, OVER, candidate)]
        if done[0].is_done:
            self._rest(CANDIDATE, rest_s)
            done.append(self._hand_over(BACK, WAY_BACK, current))
        self._rest(AFTER, rest_s / 2)
        return done

    def _rest(self, name: str, seconds: float) -> None:
        """Let the load go on, and change nothing."""
        began = clock.monotonic()
        self._wait(name, seconds)
        self._window(name, began)

    def _wait(self, name: str, seconds: float) -> None:
        self._progress(f"{name}: {seconds:g} s of load")
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            select.select([], [], [], left)

    def _window(self, name: str, began: float) -> None:
        self._windows.append(Window(name=name, began=began, ended=clock.monotonic()))

    def _hand_over(self, direction: str, name: str, spec: AppSpec) -> HandoffResult:
        self._progress(f"handing over {direction}")
        began = clock.monotonic()

        def on_event(event: dict[str, Any]) -> None:
            if text := self._sentence(event):
                self._progress(f"  {text}")
            if event["step"] == "switched" and self._memory is None:
                self._memory = handoffs.memory_of(
                    self._stage.request("describe", app=spec.name), event["generation"]
                )

        report = self._stage.change("reload", spec, on_event)
        self._window(name, began)
        return handoffs.result(direction, report)

    # --- other ways -------------------------------------------------------------------

    def _compare(
        self,
        current: AppSpec,
        candidate: AppSpec,
        place: Place,
        traffics: Sequence[Traffic],
    ) -> tuple[OtherWay, ...]:
        self._progress("comparing: stop and start, then pm2 reload")
        return other_ways.compare(self._stage, current, candidate, place, traffics)


def _ready_path(spec: AppSpec) -> str:
    return spec.ready.path if spec.ready.when is When.HTTP else "/"


def _named(side: Side) -> str:
    return side.release or side.tree


def _intercepted(side: Side) -> bool:
    return side.spec.interception
