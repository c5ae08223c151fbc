"""The core against the vectors of spec/, and against a naive model in every order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from gapless_drain.core import DRAINING, Core, Draining, Mode, Ticket
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
    """What spec/vectors/drain.json says, step by step."""
    core, tickets = Core(), {}
    for now, step in enumerate(case["steps"]):
        told = f"step {now}: {step}"
        match step["do"]:
            case "admit":
                ticket = tickets[step["id"]] = core.admit(step["id"], now)
                assert ticket.admitted == (step["expect"] == "admitted"), told
            case "begin":
                within = tickets.get(step.get("within"))
                try:
                    tickets[step["id"]] = core.begin(step["id"], now, within)
                    begun = True
                except Draining:
                    begun = False
                assert begun == (step["expect"] == "begun"), told
            case "finish":
                core.finish(tickets[step["id"]], now)
            case "order":
                core.order(step["line"])
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
            assert flat[name] == expected, f"{told}: {name} is {flat[name]}"


class Interleavings(RuleBasedStateMachine):
    """Any order of admit, begin, finish, fail, drain and undrain."""

    tickets = Bundle("tickets")
    finished = Bundle("finished")

    def __init__(self) -> None:
        super().__init__()
        self.told = 0
        self.core = Core(self.changed)
        self.now = 0.0
        self.under_way: set[Ticket] = set()
        self.done = self.refused = 0

    def changed(self) -> None:
        """Count how often the counts would be told."""
        self.told += 1

    def tick(self) -> float:
        """Return a later time."""
        self.now += 1
        return self.now

    @rule(target=tickets)
    def admit(self) -> Ticket:
        """A request comes."""
        ticket = self.core.admit("GET /", self.tick())
        assert ticket.admitted == (self.core.mode is not Mode.RECYCLE)
        self.under_way.add(ticket)
        return ticket

    @rule(target=tickets, within=st.none() | tickets | finished)
    def begin(self, within: Ticket | None) -> Ticket:
        """A procedure begins, if it may."""
        around = [] if within is None else [within]
        if within is not None and within not in self.under_way and within.within:
            around = [within.within]  # it left something behind
        inside = any(each in self.under_way and each.admitted for each in around)
        allowed = self.core.mode not in DRAINING or inside
        try:
            ticket = self.core.begin("p", self.tick(), within)
        except Draining:
            assert not allowed
            ticket = self.core.admit("GET /instead", self.tick())
        else:
            assert allowed
        self.under_way.add(ticket)
        return ticket

    @rule(target=finished, ticket=consumes(tickets))
    def finish(self, ticket: Ticket) -> Ticket:
        """It ends, well or badly, or its client goes away."""
        told = self.told
        self.core.finish(ticket, self.tick())
        self.under_way.discard(ticket)
        if self.core.mode is not Mode.SERVING:
            assert self.told == told + 1
            self.done += ticket.admitted
            self.refused += not ticket.admitted
        return ticket

    @rule(ticket=finished)
    def finish_again(self, ticket: Ticket) -> None:
        """Some server closes twice."""
        self.core.finish(ticket, self.tick())

    @rule(line=st.sampled_from(["drain leaving", "drain handoff", "drain recycle"]))
    def drain(self, line: str) -> None:
        """The supervisor orders a drain."""
        if self.core.mode is Mode.SERVING:
            self.done = self.refused = 0
        assert self.core.order(line)
        assert self.core.mode.value == line.split()[1]

    @precondition(lambda self: self.core.mode is not Mode.SERVING)
    @rule()
    def undrain(self) -> None:
        """The supervisor takes it back."""
        assert self.core.order("undrain")
        self.done = self.refused = 0
        assert self.core.mode is Mode.SERVING

    # The letters of orders: near misses, and no table of Unicode to be made first.
    @rule(line=st.text("drain unleavghofcyt", max_size=20))
    def nonsense(self, line: str) -> None:
        """Not an order."""
        mode = self.core.mode
        known = ("undrain", "counts", "drain leaving", "drain handoff", "drain recycle")
        if line not in known:
            assert not self.core.order(line)
            assert self.core.mode is mode

    @invariant()
    def counts_are_exact(self) -> None:
        """Never negative, never stuck, never one too many."""
        counts = self.core.counts(self.now)
        kinds = [ticket.kind for ticket in self.under_way]
        assert counts["requests"] == kinds.count("request")
        assert counts["procedures"] == kinds.count("procedure")
        assert counts["refusing"] == sum(not t.admitted for t in self.under_way)
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
    suppress_health_check=[HealthCheck.too_slow],  # that is the machine, not the code
)
test_every_order_of_events = Interleavings.TestCase


def test_finished_in_two_threads_at_once_is_finished_once() -> None:
    """Both have seen it open; rule 9, also without the interpreter's lock."""
    core = Core()
    core.enter(Mode.HANDOFF)

    class Late(Ticket):
        """The other thread comes right after we have looked."""

        __slots__ = ()
        others: ClassVar = iter([True])

        @property
        def open(self) -> bool:
            found: bool = slot.__get__(self)
            if next(self.others, False):
                core.finish(self, 1.0)
            return found

        @open.setter  # noqa: A003 - the property, not the builtin
        def open(self, value: bool) -> None:
            slot.__set__(self, value)

    slot: Any = Ticket.__dict__["open"]
    ticket = Late("request", "GET /", 0.0)
    core.requests.add(ticket)
    core.finish(ticket, 1.0)
    counts = core.counts(2.0)
    assert (counts["requests"], counts["finished"]["requests"]) == (0, 1)


def test_a_chain_of_procedures_keeps_no_more_than_its_first() -> None:
    """Each begins the next and ends, as jobs do that go on for ever."""
    core = Core()
    first = core.admit("GET /", 0.0)
    last = first
    for _ in range(5):
        following = core.begin("job", 0.0, last)
        core.finish(last, 0.0)
        last = following
        assert last.within is first
        assert core.has_procedure_within(first)
    core.finish(last, 0.0)
    assert not core.has_procedure_within(first)


def test_names_are_put_together_when_asked_and_cut() -> None:
    """A scope of ASGI, an environment of WSGI, or plain words."""
    core = Core()
    core.admit({"method": "GET", "path": "/a"}, 0.0)
    core.admit({"REQUEST_METHOD": "POST", "PATH_INFO": "/b"}, 1.0)
    core.admit({"type": "websocket", "path": "/c"}, 2.0)
    core.begin("x" * 500, 3.0, None)
    names = [each["name"] for each in core.counts(4.0)["running"]]
    assert names == ["GET /a", "POST /b", "WEBSOCKET /c", "x" * 200]
    assert [each["for_s"] for each in core.counts(4.0)["running"]] == [4, 3, 2, 1]
