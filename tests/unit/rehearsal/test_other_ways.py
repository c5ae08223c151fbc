"""The same change by other means."""

from __future__ import annotations

from dataclasses import replace

from gapless.rehearsal.other_ways import pm2_refused
from gapless.supervisor.memory.spec import AppSpec


def test_pm2_runs_no_app_of_another_user() -> None:
    """PM2 of the rehearsal would run it as root."""
    spec = AppSpec(name="web", command=("./web",), directory="/srv/web")
    assert pm2_refused("/usr/bin/pm2", spec, spec) == ""
    assert pm2_refused("", spec) == "pm2 is not installed"
    for changed in (replace(spec, user="www-data"), replace(spec, group="www-data")):
        assert (
            pm2_refused("/usr/bin/pm2", spec, changed) == "the app runs as another user"
        )
