"""Which apps a new generation waits for, as they are then."""

from __future__ import annotations

from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.memory.state import HostRecord
from gapless.supervisor.observe.app_order import AppOrder


def wanted(name: str, *after: str) -> AppSpec:
    """Return the spec of an app."""
    return AppSpec(name=name, command=("true",), directory="/", after=after)


def waits(db: AppRecord, *, shuts_down: bool = False) -> list[str]:
    """Return what web waits for, which is after *db* and starts now."""
    apps, host = Apps(), HostRecord()
    host.shutting_down = shuts_down
    web = apps["web"] = AppRecord("web", wanted("web", "db"))
    apps["db"] = db
    order, generation = AppOrder(apps, host), GenerationRecord(1, web.spec, since=1.0)
    web.generations.append(generation)
    order.begin(web, generation)
    return order.waits_for(web)


def test_an_app_whose_end_was_taken_back_comes_up() -> None:
    """A shutdown that was taken back ends it first: it is started again after that."""
    db = AppRecord("db", wanted("db"))
    assert waits(db) == ["db"]  # it is missing, and started in this turn too
    db.generations.append(
        GenerationRecord(1, db.spec, since=1.0, role=Role.RETIRING, served=True)
    )
    assert waits(db) == ["db"]
    assert waits(db, shuts_down=True) == []
    db.stop_reason = "gave up"
    assert waits(db) == []
    db.stop_reason, db.running = "", False
    assert waits(db) == []
