"""The gapless.toml of a fleet: one for the release server, one for each host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rig.fleets.app_kinds import APP, AppKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What all hosts of a fleet are configured with; the texts are lines of TOML."""

    base: Path
    kind: AppKind
    app: str
    """Settings in [app]."""
    release: str
    """Settings in [release]."""
    policy: str
    """Settings in [rollout]."""
    coordinator: str
    """The table [coordinator], or nothing."""
    copies: bool
    """Hosts run their own copies of releases."""

    def publishing(self) -> str:
        """Return what is needed to publish without a fleet."""
        build = json.dumps(["sh", "-ec", self.kind.build])
        where = f'[release.{APP}]\nbase = "{self.base}"\nbuild = {build}\n'
        return f"{where}{self.release}\n"

    def rolling_out(self) -> str:
        """Return what every host of the fleet, and the release server, needs."""
        copy = "copy = true\n" if self.copies else ""
        return (
            f"{self.publishing()}[rollout.{APP}]\n{copy}"
            f"min_healthy_s = 0.5\n{self.policy}\n{self.coordinator}"
        )

    def running(self, base: Path, environment: Mapping[str, str]) -> str:
        """Return what a host needs to run the app from *base*, in an *environment*.

        HOST and PORT of the environment are the address at which the app listens.
        """
        command = json.dumps(self.kind.command)
        for name in ("HOST", "PORT"):
            command = command.replace(f"{{{name.lower()}}}", environment[name])
        pairs = ", ".join(f'{name} = "{value}"' for name, value in environment.items())
        return (
            f"[app.{APP}]\ncommand = {command}\n"
            f'directory = "{base}/dist/{APP}"\n'
            f"environment = {{ {pairs} }}\n"
            "min_healthy_s = 0.3\n"
            + ("" if "ready =" in self.app else 'ready = { http = "/health" }\n')
            + f"{self.app}\n{self.rolling_out()}"
        )
