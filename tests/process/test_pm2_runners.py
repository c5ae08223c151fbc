"""Package runners, TypeScript, clusters: handed over under load, with keep-alive."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rig.fixtures.declarations import HTTP, ask
from rig.hosts.host import (
    GAPLESS,
    ROOT,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import answers, free_port, until

BIN = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin"
CLUSTER = f"""
const cluster = require('node:cluster');
if (cluster.isPrimary) {{
  cluster.fork(); cluster.fork();
  process.on('SIGINT', () => {{ cluster.disconnect(() => process.exit(0)); }});
}} else {{
  {HTTP}
}}
"""
WAYS: dict[str, dict[str, Any]] = {
    "npm": {"script": "npm", "args": "start", "wait_ready": True},
    "npm in a line": {"script": "npm start", "wait_ready": True},
    "pnpm": {"script": "pnpm", "args": ["start"], "wait_ready": True},
    "yarn": {"script": "yarn", "args": ["start"], "wait_ready": True},
    "tsx": {"script": "app.ts", "interpreter": "tsx", "wait_ready": True},
    "cluster": {"script": "cluster.js"},
}


@pytest.mark.parametrize("count", times(1, 10))
@pytest.mark.parametrize("way", matrix(WAYS, "npm", "cluster"))
def test_a_way_to_start_node_is_handed_over(host: Host, way: str, count: int) -> None:
    """The app sends ready, keep-alive connections close cleanly, no request is lost."""
    port = free_port()
    host.environment["PATH"] = f"{BIN}:{host.environment['PATH']}"
    (host.directory / "http.js").write_text(HTTP)
    (host.directory / "cluster.js").write_text(CLUSTER)
    (host.directory / "app.ts").write_text(
        f"const typed: string = 'typed';\n{HTTP.replace('const http', 'const http: any')}"
    )
    package = {"name": "x", "version": "1.0.0", "scripts": {"start": "node http.js"}}
    (host.directory / "package.json").write_text(json.dumps(package))
    app = {"name": "web", "env": {"PORT": port}, "instances": 2, **WAYS[way]}
    (host.directory / "app.json").write_text(json.dumps(app))
    host.ok("start", "app.json")
    until(lambda: answers(port), "an answer")
    with run_load(
        port, engine.NEW, engine.KEEP_ALIVE, _PAUSED, seconds=600
    ) as under_load:
        for _ in range(count):
            under_load.wait_for(100)
            report = host.json("reload", "web")
            assert report["outcome"] == "done", report
            assert report["requests"]["finished"] > 0  # the preload spoke
            assert under_load.lost() == 0
        under_load.wait_for(50)
        assert under_load.stop().lost == 0


_PAUSED = engine.Traffic(kind="paused", concurrency=4, keep_alive=True, pause_s=0.6)


def test_without_the_preload_nothing_is_loaded(host: Host) -> None:
    """`preload = false` leaves NODE_OPTIONS as it was."""
    (host.directory / "env.js").write_text(
        "console.log(process.env.NODE_OPTIONS); setInterval(() => {}, 1000)"
    )
    options = {
        "name": "env",
        "script": "env.js",
        "env": {"NODE_OPTIONS": "--no-warnings"},
    }
    (host.directory / "app.json").write_text(
        json.dumps(options | {"gapless": {"preload": False}})
    )
    host.ok("start", "app.json")
    log = host.home / "logs" / "env-out.log"
    until(lambda: log.exists() and log.read_text(), "the word")
    assert log.read_text() == "--no-warnings\n"
    (host.directory / "app.json").write_text(json.dumps(options))
    host.ok("reload", "env")
    until(lambda: len(log.read_text().splitlines()) == 2, "the second word")
    assert log.read_text().splitlines()[1].startswith("--no-warnings --require=")


@pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="only root becomes others"
)
def test_who_may_not_read_the_preload_runs_without_it(host: Host) -> None:
    """With the preload Node would not start; `list` shows why it is not loaded."""
    port = free_port()
    host.directory.chmod(0o755)
    (host.directory / "http.js").write_text(HTTP)
    app = {"name": "web", "script": "http.js", "env": {"PORT": port}, "uid": "nobody"}
    (host.directory / "app.json").write_text(json.dumps(app))
    host.ok("start", "app.json")
    assert ask(port, "/").startswith(b"release")
    readable = all(p.stat().st_mode & 0o001 for p in [ROOT, *ROOT.parents])
    said = "keep-alive connections are not closed in good order: nobody may not read"
    assert readable or said in host.app("web")["reason"]


def test_whom_node_confines_runs_without_the_preload(host: Host) -> None:
    """With the preload Node would not start; `list` shows why it is not loaded."""
    port = free_port()
    (host.directory / "http.js").write_text(HTTP)
    allowed = f"--experimental-permission --allow-fs-read={host.directory}/*"
    app = {"name": "web", "script": "http.js", "env": {"PORT": port}}
    app["node_args"] = allowed
    (host.directory / "app.json").write_text(json.dumps(app))
    host.ok("start", "app.json")
    assert ask(port, "/").startswith(b"release")
    said = "keep-alive connections are not closed in good order: with --permission"
    assert said in host.app("web")["reason"]


# --- the foreground -----------------------------------------------------------------

FOREGROUND = """
const http = require('node:http');
process.on('SIGTERM', () => { console.log('bye'); process.exit(7); });
process.on('SIGHUP', () => console.error('hup'));
require('node:child_process').spawn('sh', ['-c', '(sleep 0.2; exit 0) & exit 0']);
http.createServer((q, r) => r.end('x')).listen(process.env.PORT, () => console.log('up'));
"""


@pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="only root makes namespaces"
)
def test_the_foreground_as_process_1(host: Host, tmp_path: Path) -> None:
    """In a pid namespace: logs are printed, signals passed on, orphans reaped."""
    port = free_port()
    (host.directory / "web.js").write_text(FOREGROUND)
    out, err = tmp_path / "out", tmp_path / "err"
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with out.open("w") as stdout, err.open("w") as stderr:
        outer = subprocess.Popen(
            [*command, str(GAPLESS), "start", "web.js", "--foreground"],
            cwd=host.directory,
            env=host.environment | {"PORT": str(port)},
            stdout=stdout,
            stderr=stderr,
        )
    try:
        until(lambda: "up" in out.read_text(), "the app's word on standard output", 30)
        first = _child(outer.pid)
        until(lambda: not _zombies(first), "no child that nobody waits for")
        os.kill(first, signal.SIGHUP)
        until(
            lambda: "hup" in out.read_text() + err.read_text(), "the signal passed on"
        )
        assert ask(port, "/") == b"x"
        os.kill(first, signal.SIGTERM)
        assert outer.wait(30) == 7
        assert "bye" in out.read_text()
    finally:
        outer.kill()
        outer.wait(10)


@pytest.mark.parametrize(
    ("code", "expected"), [("process.exit(5)", 5), ("process.kill(process.pid)", 143)]
)
def test_the_foreground_ends_with_the_app(host: Host, code: str, expected: int) -> None:
    """The exit code is the app's, or 128 and the signal, also if it ends at once."""
    for delay_ms in (10, 1200):
        script = host.directory / "app.js"
        script.write_text(f"setTimeout(() => {{ {code} }}, {delay_ms})")
        done = host.gapless("start", "app.js", "--foreground", "--no-autorestart")
        assert done.returncode == expected, done.stdout + done.stderr


def test_the_foreground_leaves_other_apps_alone(host: Host) -> None:
    """If a supervisor ran before, only the apps that were started here end."""
    (host.directory / "other.js").write_text("setInterval(() => {}, 1000)")
    (host.directory / "app.js").write_text("setTimeout(() => process.exit(4), 1200)")
    host.ok("start", "other.js")
    done = host.gapless("start", "app.js", "--foreground", "--no-autorestart")
    assert done.returncode == 4
    assert host.status("other") == "online"


def _child(pid: int) -> int:
    """Return the one child of a process."""

    def found() -> str:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    return int(until(found, "the first process of the namespace").split()[0])


def _zombies(pid: int) -> list[str]:
    """Return the children of a process that have ended and were not reaped."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    states = []
    for child in children:
        try:
            states.append(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2])
        except OSError:
            continue
    return [state for state in states if state.split()[0] == "Z"]


def test_the_real_pm2s_schema_is_covered() -> None:
    """Every field that PM2 itself knows is in the table, so that none is dropped."""
    from gapless.config.pm2 import fields

    schema = BIN.parent / "pm2" / "lib" / "API" / "schema.json"
    known = json.loads(schema.read_text())
    missing = [name for name in known if name not in fields.BY_NAME]
    assert missing == ["^env_\\S*$"]  # its way to write env_*
    assert shutil.which("pm2", path=str(BIN))


def test_an_installed_wheel_has_all_that_is_not_python(tmp_path: Path) -> None:
    """It has the preload, which is a link in the checkout, and the table of fields."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    command += ["--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run(
        [*command, str(ROOT / "packages" / "gapless")], check=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    sources = (ROOT / "node" / "gapless-drain" / "src").glob("*.js")
    wanted = {f"gapless/preload/{path.name}" for path in sources}
    assert wanted | {"gapless/config/pm2/fields.toml"} <= set(names)
