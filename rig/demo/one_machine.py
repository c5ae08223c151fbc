"""The main job, on real programs, with strict load on each: run by `make demo`.

Three apps that know nothing of gapless get a second release under load, then a broken
third one, then go back; then comes a fleet of four hosts (`rig.demo.fleet`).  The reports
count every request; exit code 1 if one was lost.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace

from rig.demo import fleet
from rig.demo.apps import DEMO_APPS
from rig.demo.printing import run_command, show, show_reports
from rig.hosts.host import Host, temporary_host
from rig.load import engine
from rig.load.process import Load, run_load
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port

TRAFFIC = (
    replace(engine.NEW, concurrency=3, pause_s=0.002),
    replace(engine.POST, body_bytes=50_000, pause_s=0.002),
    replace(engine.SLOW, concurrency=1),
)


class Demo:
    """One run, and what was not as expected."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ports = {app: free_port() for app in DEMO_APPS}
        self.times: list[tuple[str, str, str, float]] = []
        """App, release, outcome and seconds of each change."""
        self.surprises: list[str] = []

    def configure(self) -> None:
        """Write the gapless.toml of the three apps."""
        tables = [
            app.configuration(name, self.ports[name]) for name, app in DEMO_APPS.items()
        ]
        self.host.configure("\n".join(tables))

    def tarball(self, app: str, version: str, *, broken: bool = False) -> str:
        """Pack an example as a release; return the name of the tarball."""
        return DEMO_APPS[app].pack(self.host.directory, app, version, broken=broken)

    def command(self, *words: str, succeeds: bool = True) -> float:
        """Run a gapless command with its output shown; return its seconds."""
        code, took_s = run_command(self.host, *words)
        if (code == 0) != succeeds:
            self.surprises.append(f"gapless {' '.join(words)} ended with code {code}")
        return took_s

    def release(self, app: str, what: str, *words: str, succeeds: bool = True) -> None:
        """Release an app, and note how long it took."""
        took_s = self.command(*words, succeeds=succeeds)
        self.times.append((app, what, "done" if succeeds else "refused", took_s))

    def expect(self, app: str, load: Load, version: str) -> None:
        """Check that one release serves now, and no other."""
        before = load.versions()
        load.wait_for(30)
        after = load.versions()
        served = {v for v, count in after.items() if v and count > before.get(v, 0)}
        if served != {version}:
            self.surprises.append(f"{app}: {served} served instead of {version}")


def run(host: Host) -> int:
    """Show the main job; return the exit code."""
    demo = Demo(host)
    demo.configure()
    show("== first releases")
    for app in DEMO_APPS:
        demo.command("publish", demo.tarball(app, "1"))
    demo.command("start", "gapless.toml")
    with ExitStack() as stack:
        loads = {
            app: stack.enter_context(run_load(port, *TRAFFIC, seconds=170))
            for app, port in demo.ports.items()
        }
        for load in loads.values():
            load.wait_for_version("1")
        show("\n== strict load runs on all three; second releases")
        for app, load in loads.items():
            demo.release(app, "2", "publish", demo.tarball(app, "2"))
            load.wait_for_version("2")
        show("\n== third releases, broken: the second ones stay")
        for app, load in loads.items():
            show(f"\n({app} 3 {DEMO_APPS[app].why})")
            tarball = demo.tarball(app, "3", broken=True)
            demo.release(app, "3, broken", "publish", tarball, succeeds=False)
            demo.expect(app, load, "2")
        show("\n== back to the first releases")
        for app, load in loads.items():
            demo.release(app, "back to 1", "rollback", app)
            demo.expect(app, load, "1")
        demo.command("list")
        reports = {app: load.stop() for app, load in loads.items()}
    return _show_results(demo, reports)


def _show_results(demo: Demo, reports: dict[str, engine.Report]) -> int:
    lost = show_reports(reports)
    sent = sum(report.requests for report in reports.values())
    show("\n== releases under load, with their build")
    show(f"{'app':<6}{'release':<12}{'outcome':<10}{'seconds':>8}")
    for app, what, outcome, took_s in demo.times:
        show(f"{app:<6}{what:<12}{outcome:<10}{took_s:>8.2f}")
    show(f"\n{sent} requests, {lost} lost")
    for surprise in demo.surprises:
        show(f"surprise: {surprise}")
    return 1 if lost or demo.surprises else 0


def main() -> int:
    """Run both parts of the demo in directories of their own."""
    missing = [
        program for program in ("node", "npm", "perl") if not shutil.which(program)
    ]
    if missing:
        show(f"the demo needs {', '.join(missing)} in PATH")
        return 1
    with temporary_host("gapless-demo-") as host:
        code = run(host)
    return max(code, fleet.main())


if __name__ == "__main__":
    clean_up_at_sigterm()
    sys.exit(main())
