"""A host that runs the article's own script and the real PM2, as before gapless.

The two scripts are those of examples/article, unchanged.  cron runs them by the clock; here
a call runs them.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from rig import wait
from rig.fleets.app_kinds import ARTICLE
from rig.fleets.member import Member
from rig.hosts import processes
from rig.hosts.host import ROOT

PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin"
SCRIPT_S = 180.0
OFFLINE = {
    "npm_config_prefer_offline": "true",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
}
"""Environment that lets npm use its cache, and print no notices."""


class ScriptHost:
    """A member of a fleet that runs its app under a PM2 of its own."""

    def __init__(self, member: Member, link: Path) -> None:
        self.member, self.link = member, link
        path = f"{PM2}:{member.host.environment['PATH']}"
        own = {"PM2_HOME": str(member.host.directory / "pm2"), "PATH": path}
        self.environment = member.host.environment | OFFLINE | own
        del self.environment["GAPLESS_HOME"]

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, with *more* environment; do not check its code."""
        return subprocess.run(
            [*self.member.host.command_prefix, *argv],
            cwd="/",
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=SCRIPT_S,
            check=False,
        )

    def start(self) -> None:
        """Start the app through the link, as its package.json says.

        The time is written where the script of cron keeps that of the last restart.
        """
        words = ("sh", "-c", 'cd "$0" && exec npm run --silent start', str(self.link))
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        self._stamp.write_text(f"{time.strftime('%Y%m%d%H%M%S')}\n")

    @property
    def _stamp(self) -> Path:
        return self.member.host.directory / "EXAMPLE_RESTART"

    def cron(self) -> subprocess.CompletedProcess[str]:
        """Run the cron job of an app server: it restarts if the release is newer."""
        script = str(ARTICLE / "scripts" / "restart.sh")
        return self.run("bash", script, APP=str(self.link), STAMP=str(self._stamp))

    def close(self) -> None:
        """End PM2, and every process that is left on the host."""
        if (self.member.host.directory / "pm2").exists():
            self.run("pm2", "kill")
        processes.kill_all(self.member.pids())
        wait.until(lambda: not self.member.pids(), "the end of PM2", 20)


def publish_by_script(base: Path) -> subprocess.CompletedProcess[str]:
    """Run the cron job of the release server: it publishes what was uploaded."""
    return subprocess.run(
        ["bash", str(ARTICLE / "scripts" / "publish.sh")],
        cwd="/",
        env={**os.environ, **OFFLINE, "BASE": str(base)},
        capture_output=True,
        text=True,
        timeout=SCRIPT_S,
        check=False,
    )
