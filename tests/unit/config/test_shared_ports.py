"""Which apps of a file share a port, and what those are told that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.base.errors import MisuseError
from gapless.config import shared_ports
from gapless.supervisor.memory import spec
from rig.fixtures.project import Project


def test_apps_of_cluster_mode_share_a_port(project: Project) -> None:
    """As under PM2, unless told otherwise; with `check` it is known before."""

    def apps(**more: Any) -> dict[str, spec.AppSpec]:
        common: dict[str, Any] = {"script": "sh", "env": {"PORT": 3000}, **more}
        return {n: project.one(name=n, **common) for n in ("first", "second")}

    cluster = apps(exec_mode="cluster")
    assert {each.share_ports for each in cluster.values()} == {"cluster"}
    (told,) = shared_ports.shared(cluster)
    assert told.startswith("first and second share port 3000: ")
    assert not shared_ports.remarks(cluster)
    for more in ({"share_ports": ""}, {"affinity": "address"}):
        alone = apps(exec_mode="cluster", gapless=more)
        assert {each.share_ports for each in alone.values()} == {""}
        (told,) = shared_ports.remarks(alone)
        assert told.startswith("first and second have port 3000: ")
        assert "as in `instances: 4`" in told
        assert not shared_ports.shared(alone)
    forked = apps(exec_mode="fork")  # it may have PORT for another reason
    assert {each.share_ports for each in forked.values()} == {""}
    for other in (forked, apps(exec_mode="cluster", env={})):
        assert not shared_ports.remarks(other) + shared_ports.shared(other)
    named = apps(gapless={"share_ports": "web"})
    assert {each.share_ports for each in named.values()} == {"web"}


def test_shared_ports_and_affinity_exclude_each_other(project: Project) -> None:
    """One deals connections out, the other chooses by their source."""
    both = {"share_ports": "web", "affinity": "address"}
    with pytest.raises(MisuseError, match="one of the two has to go"):
        project.one(name="first", script="sh", gapless=both)
