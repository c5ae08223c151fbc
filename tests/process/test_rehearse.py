"""`gapless rehearse`: what a release would lose, and nothing that runs is touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.hosts import processes
from rig.hosts.host import APPS, ROOT, Host
from rig.load import engine
from rig.load.process import run_load
from rig.programs import npm
from rig.wait import free_port, until

EXAMPLE = ROOT / "examples" / "article"
PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"
QUICK = ("--duration", "0.5", "--rate", "40")
BROKEN = "import os, sys\nos.write(2, b'no such table: users\\n')\nsys.exit(3)\n"


@pytest.fixture(autouse=True)
def stage(host: Host, tmp_path: Path) -> Iterator[Path]:
    """Return where rehearsals of the host take place; nothing is left there."""
    directory = tmp_path / "stage"
    directory.mkdir()
    directory.chmod(0o755)
    host.environment["TMPDIR"] = str(directory)
    yield directory
    assert list(directory.iterdir()) == []
    assert left(directory) == []


def left(directory: Path) -> list[str]:
    """Return the processes that a rehearsal has left."""
    mark = str(directory / "gapless-rehearsal-")
    return [
        process.command
        for process in processes.living().values()
        if mark in process.command or mark.encode() in process.environment
    ]


def rehearse(host: Host, *words: object, code: int = 0) -> dict[str, Any]:
    """Rehearse; return the report."""
    done = host.gapless("rehearse", *words, *QUICK, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pack(target: Path, directory: Path) -> Path:
    """Make a tarball of a directory."""
    with tarfile.open(target, "w:gz") as archive:
        archive.add(directory, "example")
    return target


class Site:
    """An app of one Python file that runs from the link of its releases."""

    def __init__(self, host: Host, *, more: str = "", release: str = "") -> None:
        self.host, self.port = host, free_port()
        host.configure(
            '[app.example]\ncommand = ["python3", "app.py"]\nmin_healthy_s = 0.3\n'
            f'directory = "dfs/dist/example"\nenvironment = {{ PORT = {self.port} }}\n'
            f'{more}\n[release.example]\nbase = "dfs"\n{release}\n'
        )
        (host.directory / "dfs" / "src").mkdir(parents=True)
        host.ok("publish", self.tarball(SERVES))
        host.start_file("gapless.toml", "example")

    def tarball(self, code: str) -> Path:
        """Return a tarball of a release with this code."""
        folder = self.host.directory / "candidate"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(code)
        return pack(self.host.directory / "example.tar.gz", folder)

    def state(self) -> dict[str, Any]:
        """Return what must not change: processes, releases, the link."""
        row = self.host.row("example")
        dist = self.host.directory / "dfs" / "dist"
        return {
            "pids": row["pids"],
            "generation": row["generation"],
            "restarts": row["restarts"],
            "releases": sorted(
                p.name for p in dist.iterdir() if "gapless" not in p.name
            ),
            "link": os.readlink(dist / "example"),
        }


SERVES = """
import http.server, os
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    def do_GET(self):
        Answers.asked += 1
        LOSE
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\\n")
    do_POST = do_GET
    def log_message(self, *_):
        pass
START
address = ("127.0.0.1", int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Answers).serve_forever()
""".replace("LOSE", "pass").replace("START", "")


def changed(*, lose: str = "pass", start: str = "", port: str = "") -> str:
    """Return the program with a few lines of its own."""
    code = SERVES.replace(
        "        pass\n        self.rfile", f"        {lose}\n        self.rfile"
    )
    code = code.replace("\naddress =", f"\n{start}\naddress =")
    return code.replace('os.environ["PORT"]', port) if port else code


def test_the_articles_example_is_rehearsed(host: Host) -> None:
    """A tarball, as it is uploaded: handed over to and back, and nothing was published."""
    port = free_port()
    source = host.directory / "upload"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("node_modules"))
    declared = json.loads((EXAMPLE / "app.json").read_text()) | {
        "instances": 1,
        "kill_timeout": 300,  # told to end while it is idle, it does not
    }
    declared = {k: v for k, v in declared.items() if not k.endswith("_file")}
    (source / "app.json").write_text(json.dumps(declared))
    share = json.dumps(["ln", "-s", str(npm.node_modules(EXAMPLE)), "node_modules"])
    host.configure(f'[release.example]\nbase = "dfs"\nbuild = {share}\n')
    inbox = host.directory / "dfs" / "src"
    inbox.mkdir(parents=True)
    host.environment["PORT"] = str(port)
    host.ok("publish", pack(inbox / "example.tar.gz", source))
    link = host.directory / "dfs" / "dist" / "example"
    host.ok("start", "./app.json", "--env", "production", cwd=link)
    before = host.row("example")

    tarball = pack(inbox / "example.tar.gz", source)
    found = rehearse(host, tarball)

    assert (found["outcome"], found["lost"], found["cut"]) == ("passed", 0, 0)
    assert [each["outcome"] for each in found["handoffs"]] == ["done", "done"]
    assert [each["lost"] for each in found["windows"]] == [0] * 5
    assert found["memory"]["candidate_bytes"] > 10 << 20
    assert (
        Path(found["report"]).parent
        == host.directory / "dfs/reports/example/rehearsals"
    )
    assert json.loads(Path(found["report"]).read_text())["lost"] == 0
    assert tarball.exists()
    assert len(list(link.parent.glob("example-*"))) == 1
    after = host.row("example")
    assert [after[k] for k in ("pids", "generation", "addresses")] == [
        before[k] for k in ("pids", "generation", "addresses")
    ]


@pytest.mark.soak
def test_a_candidate_that_loses_requests_or_does_not_start(host: Host) -> None:
    """The report says which, and that no handoff can help; the app serves as before."""
    site = Site(host)
    before = site.state()
    lose = "if Answers.asked % 5 == 0: return self.connection.shutdown(2)"
    found = rehearse(host, site.tarball(changed(lose=lose)), code=1)
    assert found["outcome"] == "lost"
    by_window = {each["name"]: each["lost"] for each in found["windows"]}
    assert by_window["at rest"] == 0
    assert by_window["the candidate at rest"] > 0
    assert "a look at the candidate" in [each["need"] for each in found["advice"]]

    found = rehearse(host, site.tarball(BROKEN), code=1)
    assert (found["outcome"], found["lost"]) == ("failed", 0)
    assert "no such table: users" in " ".join(found["handoffs"][0]["log_tail"])
    assert site.state() == before


@pytest.mark.soak
def test_a_fixed_port_is_rehearsed_in_a_private_network(host: Host) -> None:
    """The app that really has the port answers all requests meanwhile."""
    port = free_port()
    folder = host.directory / "fixed"
    folder.mkdir()
    (folder / "app.py").write_text(changed(port=str(port)))
    (folder / "gapless.toml").write_text(
        '[app.fixed]\ncommand = ["python3", "app.py"]\nmin_healthy_s = 0.3\n'
    )
    host.ok("start", folder / "gapless.toml")
    until(lambda: host.row("fixed")["addresses"], "it listens")
    before = host.row("fixed")
    with run_load(port, engine.NEW, seconds=60) as load:
        found = rehearse(host, "fixed")
        refused = host.gapless("rehearse", "fixed", *QUICK, "--network", "host")
        report = load.stop()
    assert report.lost == 0, report
    assert report.requests > 0
    assert (found["outcome"], found["network"]) == ("passed", "private")
    assert refused.returncode == 2
    assert "--network private" in refused.stderr
    assert host.row("fixed")["pids"] == before["pids"]


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(host: Host, stage: Path, number: int) -> None:
    """Whatever it is doing: the load runs, and both generations do."""
    site = Site(host)
    before = site.state()
    for moment in ("starting the current", "at rest", "switched", "handing over back"):
        with host.begin("rehearse", "example", *QUICK) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if moment in line:
                    process.send_signal(number)
                    break
            rest = process.stdout.read()
            assert process.wait(60) == 130, rest
        assert "interrupted; what the rehearsal had started has ended" in rest
        assert list(stage.iterdir()) == []
        assert left(stage) == []
    assert site.state() == before


@pytest.mark.soak
def test_state_on_disk_asks_for_a_recycle(host: Host) -> None:
    """What both generations would write is named, and what to write into the file."""
    folder = host.directory / "state"
    folder.mkdir()
    start = (
        'state = open("numbers.db", "r+b" if os.path.exists("numbers.db") else "w+b")'
    )
    write = "\nstate.write(b'\\0' * 4096); state.flush()"
    (folder / "app.py").write_text(changed(start=start + write))
    (folder / "gapless.toml").write_text(
        '[app.state]\ncommand = ["python3", "app.py"]\nenvironment = { PORT = 8000 }\n'
    )
    found = rehearse(host, folder, code=1)
    assert found["outcome"] == "failed"
    assert [each["need"] for each in found["advice"]] == ["overlap = false"]
    assert "numbers.db" in found["advice"][0]["why"]
    assert not (folder / "numbers.db").exists()


@pytest.mark.soak
def test_what_is_shared_is_a_copy(host: Host) -> None:
    """The candidate reads what is there, and what it writes there is gone afterwards."""
    site = Site(host, release='shared = ["uploads"]')
    real = host.directory / "dfs/shared/example/uploads"
    (real / "a.txt").write_text("of a user")
    start = (
        'assert open("uploads/a.txt").read() == "of a user"\n'
        'open("uploads/new.txt", "w").write("of the rehearsal")'
    )
    tarball = site.tarball(changed(start=start))
    found = rehearse(host, tarball)
    assert found["outcome"] == "passed"
    assert any("copies of what is shared: uploads" in each for each in found["notes"])
    assert [path.name for path in real.iterdir()] == ["a.txt"]
    empty = rehearse(host, tarball, "--shared", "empty", code=1)
    assert "a.txt" in " ".join(empty["handoffs"][0]["log_tail"])


@pytest.mark.soak
def test_a_published_tarball_keeps_its_rehearsal(host: Host) -> None:
    """It is with the reports of the release; another tarball has none."""
    site = Site(host)
    tarball = site.tarball(SERVES + "# rehearsed")
    found = rehearse(host, tarball)
    host.ok("publish", tarball)
    release = os.path.basename(os.readlink(host.directory / "dfs/dist/example"))
    kept = host.directory / "dfs/reports/example" / release / "rehearsal.json"
    assert kept.read_text() == Path(found["report"]).read_text()
    host.ok("publish", site.tarball(SERVES + "# not rehearsed"))
    release = os.path.basename(os.readlink(host.directory / "dfs/dist/example"))
    assert not (kept.parent.parent / release / "rehearsal.json").exists()


@pytest.mark.soak
def test_a_program_writes_below_its_own_directory_only(host: Host) -> None:
    """What it wanted to write elsewhere is named, with the option that lets it."""
    site = Site(host)
    with tempfile.TemporaryDirectory(prefix="gapless-outside-") as outside:
        start = f'open("{outside}/state.txt", "w").write("x")'
        tarball = site.tarball(changed(start=start))
        found = rehearse(host, tarball, code=1)
        assert "Permission denied" in " ".join(found["handoffs"][0]["log_tail"])
        assert list(Path(outside).iterdir()) == []
        assert rehearse(host, tarball, "--writable", outside)["outcome"] == "passed"


@pytest.mark.soak
def test_a_build_writes_on_the_stage_only(host: Host) -> None:
    """And it has a GAPLESS_HOME of its own."""
    with tempfile.TemporaryDirectory(prefix="gapless-outside-") as outside:
        code = f"echo $GAPLESS_HOME > home; ! test -e {outside}/on || "
        code += f"echo x > {outside}/state"
        site = Site(host, release=f"build = {json.dumps(['sh', '-c', code])}")
        start = 'assert "gapless-rehearsal-" in open("home").read()'
        tarball = site.tarball(changed(start=start))
        assert rehearse(host, tarball)["outcome"] == "passed"
        (Path(outside) / "on").touch()
        refused = host.gapless("rehearse", tarball, *QUICK)
        assert refused.returncode != 0
        assert "the build failed" in refused.stderr
        assert not (Path(outside) / "state").exists()
        assert rehearse(host, tarball, "--writable", outside)["outcome"] == "passed"


@pytest.mark.soak
def test_other_ways_lose_what_a_handoff_does_not(host: Host) -> None:
    """--compare counts stop and start, and the real PM2, on the same app."""
    if not PM2.exists():
        pytest.skip("PM2 is not installed: make check installs it")
    host.environment["PATH"] = f"{PM2.parent}:{host.environment['PATH']}"
    folder = host.directory / "web"
    folder.mkdir()
    shutil.copy(APPS / "app.js", folder)
    (folder / "app.json").write_text(
        json.dumps({"name": "web", "script": "app.js", "env": {"PORT": 3000}})
    )
    found = rehearse(host, folder, "--compare")
    ways = {each["way"]: each for each in found["others"]}
    assert found["lost"] == 0
    assert ways["stop and start"]["lost"] > 0
    pm2 = ways["pm2 reload"]
    # On a busy machine it may take longer than it is waited for, which is said.
    assert pm2["requests"] > 0 or "timed out" in pm2["reason"], pm2


@pytest.mark.soak
def test_an_app_is_rehearsed_before_its_reload(host: Host) -> None:
    """What its file says now; the paths that are asked, and the report beside it."""
    site = Site(host)
    config = host.directory / "gapless.toml"
    config.write_text(config.read_text().replace("PORT =", 'MORE = "1", PORT ='))
    before = site.state()
    found = rehearse(host, "example", "--path", "/a", "--path", "/b", "--post", "-")
    assert (found["outcome"], found["paths"]) == ("passed", ["/a", "/b"])
    assert found["post"] == ""
    assert Path(found["report"]).name == "rehearsal.json"
    assert Path(found["report"]).parent.parent == host.directory / "dfs/reports/example"
    assert site.state() == before
    unknown = host.gapless("rehearse", "nothing")
    assert unknown.returncode == 3
