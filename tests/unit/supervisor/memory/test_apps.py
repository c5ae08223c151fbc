"""Records of apps: since when one is up, and what is asked for after a failure."""

from __future__ import annotations

import dataclasses

import pytest

from gapless.supervisor.memory.apps import OUTLIVES_S, AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.spec import AppSpec

SPEC = AppSpec(name="shop", command=("node",), directory="/srv")


def test_an_app_that_only_starts_is_as_old_as_its_instances() -> None:
    """No time of zero stands for "not yet": that showed as 20785 days."""
    app = AppRecord(name="shop", spec=SPEC)
    assert app.up_since() is None
    instances = [
        InstanceRecord(key=f"k{n}", ordinal=n, started=7.0 + n) for n in (0, 1)
    ]
    app.generations = [GenerationRecord(1, SPEC, 5.0, instances=instances)]
    assert app.up_since() == 7.0
    app.serves_since = 9.0
    assert app.up_since() == 9.0


def test_what_is_not_limited_is_told_of_any_instance() -> None:
    """One whose limits have effect does not hide another; the newest come first."""
    wanted = AppSpec(name="app", command=("true",), directory="/")
    app = AppRecord("app", wanted)
    for number, troubles in ((1, ["old"]), (2, ["", "new", ""])):
        generation = GenerationRecord(number, wanted, since=1.0)
        generation.instances += [
            InstanceRecord(f"{each}", ordinal, 1.0, limits_trouble=each)
            for ordinal, each in enumerate(troubles)
        ]
        app.generations.append(generation)
    assert app.limits_trouble == "new"
    app.generations.pop()
    assert app.limits_trouble == "old"


@pytest.mark.parametrize("follows", [1, 0], ids=["known", "begun by one of before"])
def test_what_served_is_asked_for_again_after_a_failure(follows: int) -> None:
    """Also where a supervisor of before had begun the generation that failed."""
    wanted = dataclasses.replace(SPEC, release="shop-2", instances=2)
    app = AppRecord(name="shop", spec=wanted, ids=[1, 2])
    failed = GenerationRecord(2, wanted, since=2.0, role=Role.PROVING, follows=follows)
    app.generations = [GenerationRecord(1, SPEC, since=1.0), failed]
    app.operation = Operation("shop", "scale", 2.0, "", wanted, old_generation=1)
    app.operation.generation, app.operation.ids_before = 2, [1]
    app.take_back(failed)
    assert (app.spec, app.ids) == (SPEC, [1])


def test_an_app_whose_process_outlives_sigkill_cannot_end() -> None:
    """Its disk hangs, say; one that is not killed yet, or just was, may still end."""
    app = AppRecord(name="shop", spec=SPEC)
    assert not app.cannot_end(1e9)
    one = InstanceRecord("shop/1/0/1", 0, 1.0, stop_sent_at=100.0)
    other = dataclasses.replace(one, key="shop/1/1/2", killed=True)
    app.generations = [GenerationRecord(1, SPEC, since=1.0, instances=[one, other])]
    limit_s = SPEC.stop.kill_timeout_s + OUTLIVES_S
    assert not app.cannot_end(101.0 + limit_s)
    one.killed = True
    assert app.cannot_end(101.0 + limit_s)
    assert not app.cannot_end(99.0 + limit_s)


def test_a_first_start_that_failed_is_still_asked_for() -> None:
    """It follows nothing."""
    wanted = dataclasses.replace(SPEC, release="shop-2")
    app = AppRecord(name="shop", spec=wanted)
    failed = GenerationRecord(1, wanted, since=2.0, role=Role.TRIAL)
    app.generations = [failed]
    app.operation = Operation("shop", "start", 2.0, "", wanted)
    app.operation.generation = 1
    app.take_back(failed)
    assert app.spec is wanted
