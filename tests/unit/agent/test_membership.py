"""Which fleets a host follows."""

from __future__ import annotations

import threading
from pathlib import Path

from gapless.agent import membership
from gapless.base import files
from gapless.base.names import Home
from gapless.config.toml.fleets import Fleet
from gapless.releases.model import ReleaseSpec
from gapless.rollout.policy import Policy


def test_agents_that_start_at_once_forget_none(tmp_path: Path) -> None:
    """At boot one may start for each file, and `drain` needs the fleets of all."""
    home, apps = Home(str(tmp_path / "home")), [f"app{number}" for number in range(12)]
    gate = threading.Barrier(len(apps))

    def remember(app: str) -> None:
        fleet = Fleet(
            release=ReleaseSpec(app=app, base=str(tmp_path)),
            policy=Policy(),
            file="gapless.toml",
            directory="",
            etcd=None,
        )
        gate.wait()
        membership.remember(home, {app: fleet}, "a")

    threads = [threading.Thread(target=remember, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(files.read_json(home.fleets)) == sorted(apps)
