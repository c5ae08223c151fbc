"""The core against the vectors of spec/, and against a naive model in any order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from gapless_drain.activity import Activity
from gapless_drain.core import DRAINING, Core, Draining, Mode
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

VECTORS = Path(__file__).parents[2] / "spec" / "vectors" / "drain.json"
CASES = json.loads(VECTORS.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vector(case: dict[str, Any]) -> None:
    """The core does what spec/vectors/drain.json says, step by step."""
    core, activities = Core(), {}
    for now, step in enumerate(case["steps"]):
        where = f"step {now}: {step}"
        match step["do"]:
            case "admit":
                activity = activities[step["id"]] = core.admit(step["id"], now)
                assert activity.admitted == (step["expect"] == "admitted"), where
            case "begin":
                parent = activities.get(step.get("within"))
                try:
                    activities[step["id"]] = core.begin(step["id"], now, parent)
                    begun = True
                except Draining:
                    begun = False
                assert begun == (step["expect"] == "begun"), where
            case "finish":
                core.finish(activities[step["id"]], now)
            case "order":
                core.take_order(step["line"])
            case other:
                raise AssertionError(other)
        found = core.counts(now)
        flat = {
            **found,
            "finished_requests": found["finished"]["requests"],
            "finished_procedures": found["finished"]["procedures"],
            "finished_named": [
                [each["name"], each["for_s"]] for each in found["finished"]["named"]
            ],
            "running": [each["name"] for each in found["running"]],
            "drained": core.is_drained,
        }
        for name, expected in step.get("counts", {}).items():
            assert flat[name] == expected, f"{where}: {name} is {flat[name]}"


class Interleavings(RuleBasedStateMachine):
    """Requests, procedures, drains and undrains in any order."""

    unfinished = Bundle("unfinished")
    finished = Bundle("finished")

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.core = Core(self.changed)
        self.now = 0.0
        self.under_way: set[Activity] = set()
        self.done = self.refused = 0

    def changed(self) -> None:
        """Count how often the counts would be sent."""
        self.changes += 1

    def tick(self) -> float:
        """Return a later time."""
        self.now += 1
        return self.now

    @rule(target=unfinished)
    def admit(self) -> Activity:
        """A request comes."""
        request = self.core.admit("GET /", self.tick())
        assert request.admitted == (self.core.mode is not Mode.RECYCLE)
        self.under_way.add(request)
        return request

    @rule(target=unfinished, parent=st.none() | unfinished | finished)
    def begin(self, parent: Activity | None) -> Activity:
        """A procedure begins, if it may."""
        around = [] if parent is None else [parent]
        if parent is not None and parent not in self.under_way and parent.root:
            around = [parent.root]  # the parent left something behind
        inside = any(each in self.under_way and each.admitted for each in around)
        allowed = self.core.mode not in DRAINING or inside
        try:
            activity = self.core.begin("p", self.tick(), parent)
        except Draining:
            assert not allowed
            activity = self.core.admit("GET /instead", self.tick())
        else:
            assert allowed
        self.under_way.add(activity)
        return activity

    @rule(target=finished, activity=consumes(unfinished))
    def finish(self, activity: Activity) -> Activity:
        """It ends, with or without an error, or its client goes away."""
        before = self.changes
        self.core.finish(activity, self.tick())
        self.under_way.discard(activity)
        if self.core.mode is not Mode.SERVING:
            assert self.changes == before + 1
            self.done += activity.admitted
            self.refused += not activity.admitted
        return activity

    @rule(activity=finished)
    def finish_again(self, activity: Activity) -> None:
        """Some servers close twice."""
        self.core.finish(activity, self.tick())

    @rule(line=st.sampled_from(["drain leaving", "drain handoff", "drain recycle"]))
    def drain(self, line: str) -> None:
        """The supervisor orders a drain."""
        if self.core.mode is Mode.SERVING:
            self.done = self.refused = 0
        assert self.core.take_order(line)
        assert self.core.mode.value == line.split()[1]

    @precondition(lambda self: self.core.mode is not Mode.SERVING)
    @rule()
    def undrain(self) -> None:
        """The supervisor ends the drain."""
        assert self.core.take_order("undrain")
        self.done = self.refused = 0
        assert self.core.mode is Mode.SERVING

    # The letters of orders give near misses, and need no table of Unicode.
    @rule(line=st.text("drain unleavghofcyt", max_size=20))
    def unknown_order(self, line: str) -> None:
        """A line that is no order comes."""
        mode = self.core.mode
        known = ("undrain", "counts", "drain leaving", "drain handoff", "drain recycle")
        if line not in known:
            assert not self.core.take_order(line)
            assert self.core.mode is mode

    @invariant()
    def counts_are_exact(self) -> None:
        """They are never negative, never stuck, never one too many."""
        counts = self.core.counts(self.now)
        kinds = [activity.kind for activity in self.under_way]
        assert counts["requests"] == kinds.count("request")
        assert counts["procedures"] == kinds.count("procedure")
        assert counts["refusing"] == sum(not a.admitted for a in self.under_way)
        assert self.core.is_drained == (
            self.core.mode in DRAINING and not self.under_way
        )
        finished = counts["finished"]
        if self.core.mode is not Mode.SERVING:
            assert finished["requests"] + finished["procedures"] == self.done
            assert counts["refused"] == self.refused


Interleavings.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],  # the machine is slow, not the code
)
test_every_order_of_events = Interleavings.TestCase


def test_finished_in_two_threads_at_once_is_finished_once() -> None:
    """Both have read that it is open; rule 9, also without the interpreter's lock."""
    core = Core()
    core.enter(Mode.HANDOFF)

    class Late(Activity):
        """The other thread finishes it right after the first one has read `is_open`."""

        __slots__ = ()
        others: ClassVar = iter([True])

        @property
        def is_open(self) -> bool:
            found: bool = slot.__get__(self)
            if next(self.others, False):
                core.finish(self, 1.0)
            return found

        @is_open.setter
        def is_open(self, value: bool) -> None:
            slot.__set__(self, value)

    slot: Any = Activity.__dict__["is_open"]
    request = Late("request", "GET /", 0.0)
    core.requests.add(request)
    core.finish(request, 1.0)
    counts = core.counts(2.0)
    assert (counts["requests"], counts["finished"]["requests"]) == (0, 1)


def test_a_chain_of_procedures_keeps_no_more_than_its_first() -> None:
    """Each begins the next one and ends, as jobs do that go on for ever."""
    core = Core()
    first = core.admit("GET /", 0.0)
    last = first
    for _ in range(5):
        following = core.begin("job", 0.0, last)
        core.finish(last, 0.0)
        last = following
        assert last.root is first
        assert core.has_procedure_within(first)
    core.finish(last, 0.0)
    assert not core.has_procedure_within(first)


def test_names_are_put_together_when_asked_and_cut() -> None:
    """They come from a scope of ASGI, an environment of WSGI, or a string."""
    core = Core()
    core.admit({"method": "GET", "path": "/a"}, 0.0)
    core.admit({"REQUEST_METHOD": "POST", "PATH_INFO": "/b"}, 1.0)
    core.admit({"type": "websocket", "path": "/c"}, 2.0)
    core.begin("x" * 500, 3.0, None)
    names = [each["name"] for each in core.counts(4.0)["running"]]
    assert names == ["GET /a", "POST /b", "WEBSOCKET /c", "x" * 200]
    assert [each["for_s"] for each in core.counts(4.0)["running"]] == [4, 3, 2, 1]
