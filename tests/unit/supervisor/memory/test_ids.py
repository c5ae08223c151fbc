"""The apps of a host: who is touched, and who gets which ids."""

from __future__ import annotations

from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.spec import AppSpec


def _add(apps: Apps, name: str, ids: int) -> AppRecord:
    spec = AppSpec(name=name, command=("true",), directory="/")
    app = apps[name] = AppRecord(name=name, spec=spec)
    apps.allot_ids(app, ids)
    return app


def test_ids_are_those_behind_the_last_one() -> None:
    """They are unlike all others; those of the last app are free when it is gone."""
    apps = Apps()
    assert _add(apps, "a", 2).ids == [0, 1]
    assert _add(apps, "b", 2).ids == [2, 3]
    apps.allot_ids(apps["a"], 3)
    assert apps["a"].ids == [0, 1, 4]
    del apps["a"]
    assert _add(apps, "c", 1).ids == [4]
    del apps["b"], apps["c"]
    assert _add(apps, "d", 1).ids == [0]


def test_what_is_there_is_touched_once() -> None:
    """An app that comes is touched; one that is not there cannot be."""
    apps = Apps()
    _add(apps, "a", 1)
    _add(apps, "b", 1)
    assert list(apps.touched) == ["a", "b"]
    apps.touched.clear()
    apps.touch("b", "gone", "b")
    assert list(apps.touched) == ["b"]
    del apps["b"]
    assert not apps.touched
