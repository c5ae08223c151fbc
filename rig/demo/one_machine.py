"""The main job, on real programs, with strict load on each: run by `make demo`.

Three apps that know nothing of gapless get a second release under load, then a broken
third one, then go back; then a fleet of four hosts (`rig.demo_fleet`). The reports count
every request; exit code 1 if one was lost.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rig.demo import fleet, shown
from rig.demo.shown import say
from rig.hosts.host import ROOT, Host
from rig.load import engine
from rig.load.running import Running, running
from rig.wait import free_port

EXAMPLES = ROOT / "examples"
TRAFFIC = (
    replace(engine.NEW, concurrency=3, pause_s=0.002),
    replace(engine.POST, body_bytes=50_000, pause_s=0.002),
    replace(engine.SLOW, concurrency=1),
)
COMMANDS = {
    "asgi": '[".venv/bin/python", "-m", "uvicorn", "app:app", "--no-access-log", '
    '"--port", "{port}"]',
    "node": '["node", "index.js"]',
    "perl": '["perl", "app.pl"]',
}
EXTRA = {
    "asgi": "instances = 2",
    "node": 'instances = 2\nready = { http = "/health", timeout_s = 5 }',
    "perl": "ready = { timeout_s = 3 }",
}
BUILDS = {"asgi": 'build = ["./build.sh"]', "node": "", "perl": "build = []"}
BROKEN = {
    "asgi": ("app.py", 'raise RuntimeError("this release is broken")\n'),
    "node": (
        "index.js",
        "const answer = (q, r) => { r.writeHead(500); r.end(); };"
        "require('http').createServer(answer).listen(process.env.PORT, '127.0.0.1');",
    ),
    "perl": ("app.pl", "sleep 1 while 1; # it never listens\n"),
}
WHY = {
    "asgi": "crashes while it starts",
    "node": "answers its probe with 500",
    "perl": "never listens",
}


class Demo:
    """One run."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ports = {app: free_port() for app in COMMANDS}
        self.times: list[tuple[str, str, str, float]] = []
        self.surprises: list[str] = []

    def configure(self) -> None:
        """Write the gapless.toml of the three apps."""
        tables = []
        for app, command in COMMANDS.items():
            port = self.ports[app]
            tables.append(
                f"[app.{app}]\n"
                f"command = {command.format(port=port)}\n"
                f'directory = "dfs/dist/{app}"\n'
                f"environment = {{ PORT = {port} }}\n"
                f"{EXTRA[app]}\n\n"
                f'[release.{app}]\nbase = "dfs"\n{BUILDS[app]}\n'
            )
        self.host.configure("\n".join(tables))

    def tarball(self, app: str, version: str, *, broken: bool = False) -> str:
        """Pack an example as a release; return the name of the tarball."""
        name = f"{app}.tar.gz"
        with tarfile.open(self.host.directory / name, "w:gz") as archive:
            for path in sorted((EXAMPLES / app).iterdir()):
                if path.is_file() and path.name not in ("VERSION", "gapless.toml"):
                    archive.add(path, f"{app}/{path.name}")
            _add(archive, f"{app}/VERSION", version)
            if broken:
                _add(archive, f"{app}/{BROKEN[app][0]}", BROKEN[app][1])
        return name

    def command(self, *words: str, succeeds: bool = True) -> float:
        """Run a gapless command with its output shown; return how long it took."""
        code, took_s = shown.command(self.host, *words)
        if (code == 0) != succeeds:
            self.surprises.append(f"gapless {' '.join(words)} ended with code {code}")
        return took_s

    def release(self, app: str, what: str, *words: str, succeeds: bool = True) -> None:
        """Bring a release, and note how long it took."""
        took = self.command(*words, succeeds=succeeds)
        self.times.append((app, what, "done" if succeeds else "refused", took))


def run(host: Host) -> int:
    """Show the main job; return the exit code."""
    demo = Demo(host)
    demo.configure()
    say("== first releases")
    for app in COMMANDS:
        demo.command("publish", demo.tarball(app, "1"))
    demo.command("start", "gapless.toml")
    with ExitStack() as stack:
        loads = {
            app: stack.enter_context(running(port, *TRAFFIC, seconds=170))
            for app, port in demo.ports.items()
        }
        for each in loads.values():
            each.wait_for_version("1")
        say("\n== strict load runs on all three; second releases")
        for app in COMMANDS:
            demo.release(app, "2", "publish", demo.tarball(app, "2"))
            loads[app].wait_for_version("2")
        say("\n== third releases, broken: the second ones stay")
        for app in COMMANDS:
            say(f"\n({app} 3 {WHY[app]})")
            tarball = demo.tarball(app, "3", broken=True)
            demo.release(app, "3, broken", "publish", tarball, succeeds=False)
            _expect(demo, app, loads[app], "2")
        say("\n== back to the first releases")
        for app in COMMANDS:
            demo.release(app, "back to 1", "rollback", app)
            _expect(demo, app, loads[app], "1")
        demo.command("list")
        reports = {app: each.stop() for app, each in loads.items()}
    return _table(demo, reports)


def _expect(demo: Demo, app: str, under_load: Running, version: str) -> None:
    """Check that one release serves now, and it alone."""
    before = under_load.versions()
    under_load.wait_for(30)
    after = under_load.versions()
    served = {v for v, count in after.items() if v and count > before.get(v, 0)}
    if served != {version}:
        demo.surprises.append(f"{app}: {served} served where {version} had to")


def _table(demo: Demo, reports: dict[str, engine.Report]) -> int:
    lost = shown.table(reports)
    sent = sum(report.requests for report in reports.values())
    say("\n== releases under load, with their build")
    say(f"{'app':<6}{'release':<12}{'outcome':<10}{'seconds':>8}")
    for app, what, outcome, took in demo.times:
        say(f"{app:<6}{what:<12}{outcome:<10}{took:>8.2f}")
    say(f"\n{sent} requests, {lost} lost")
    for surprise in demo.surprises:
        say(f"surprise: {surprise}")
    return 1 if lost or demo.surprises else 0


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(text.encode()))


def main() -> int:
    """Run the demo in a directory of its own."""
    missing = [
        program for program in ("node", "npm", "perl") if not shutil.which(program)
    ]
    if missing:
        say(f"the demo needs {', '.join(missing)} in PATH")
        return 1
    with tempfile.TemporaryDirectory(prefix="gapless-demo-") as directory:
        host = Host(Path(directory))
        try:
            code = run(host)
        finally:
            host.close()
    return max(code, fleet.main())


if __name__ == "__main__":
    sys.exit(main())
