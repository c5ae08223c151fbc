"""The surroundings of an app: its user, variables, umask, limits, directory and files."""

from __future__ import annotations

import json
import os
import pwd
import signal
import urllib.request

import pytest

from rig.hosts.host import Host
from rig.hosts.replaced import replaced_supervisor
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.wait import free_port, until

PROGRAM = """
import http.server, json, os, resource, sqlite3, sys
database = sqlite3.connect("data.db", check_same_thread=False)
database.execute("pragma journal_mode=wal")
database.execute("create table if not exists t(x)")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        database.execute("insert into t values (1)"); database.commit()
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
umask = os.umask(0)
os.umask(umask)
names = ("A", "B", "HOME", "USER", "LOGNAME")
print(json.dumps({n: os.environ.get(n) for n in names} | {
    "uid": os.getuid(), "groups": sorted(os.getgroups()), "umask": umask,
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}), flush=True)
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
IS_ROOT = os.geteuid() == 0
THREADS = ["python3", "threads.py"]
SLOW = engine.Traffic(kind="slow", concurrency=3, path="/slow?s=0.4")


def declare(host: Host, more: str, *, port: int) -> None:
    """Write a program, and a gapless.toml that declares it."""
    (host.directory / "app").mkdir(exist_ok=True)
    (host.directory / "app" / "app.py").write_text(PROGRAM)
    host.configure(
        '[app.web]\ncommand = ["python3", "app.py"]\ndirectory = "app"\n'
        f'min_healthy_s = 0.2\nenvironment = {{ PORT = "{port}", B = "own" }}\n{more}'
    )


def told(host: Host, count: int = 1) -> dict[str, object]:
    """Return what the newest instance printed of its surroundings."""
    log = host.home / "logs" / "web.log"

    def lines() -> list[str]:
        text = log.read_text() if log.exists() else ""
        return [line for line in text.splitlines() if "| {" in line]

    until(lambda: len(lines()) >= count, f"line {count} of the log")
    found: dict[str, object] = json.loads(lines()[-1].partition("| ")[2])
    return found


SLOW_FILES = """
import os, select, sys, time
from gapless.supervisor import run
from gapless.supervisor.observe.variables import file_reader
real = file_reader._bytes_of
def slow(path):
    for_s = {"slow.env": 2.3, "hangs.env": 3600, "later.env": 0.6}
    until, parent = time.monotonic() + for_s.get(os.path.basename(path), 0), os.getppid()
    while time.monotonic() < until and os.getppid() == parent:
        select.select([], [], [], 0.02)
    return real(path)
file_reader._bytes_of = slow
run.main(sys.argv[1:2])
"""
"""An automount, or a user in a directory on the network: it answers after a while."""


@pytest.mark.parametrize("overlap", matrix(['"auto"', "false"], "false"))
def test_environment_files_that_are_read_slowly_are_waited_for(
    host: Host, overlap: str
) -> None:
    """The release is good, another app is not held, and what serves goes on."""
    port, other = free_port(), free_port()
    slow = 'environment_file = "slow.env"\n' + f"overlap = {overlap}\n"
    with replaced_supervisor(host, SLOW_FILES):
        declare(host, 'environment_file = "-.env"\n', port=port)
        host.start_file("gapless.toml", "web")
        (host.directory / "app" / "slow.env").write_text(f"A=1\nPORT={other}\n")
        declare(host, slow, port=0)
        text = (host.directory / "gapless.toml").read_text()
        host.configure(text.replace('PORT = "0", ', ""))
        done = host.gapless("reload", "web")
        assert done.returncode == 0, done.stdout
        assert "for its environment files" in done.stdout
        assert host.app("web")["addresses"] == [f"127.0.0.1:{other}"]
        assert told(host, 2)["A"] == "1"
    with replaced_supervisor(host, SLOW_FILES):  # it has not read them
        (pid,) = host.app("web")["pids"]
        os.kill(pid, signal.SIGKILL)
        assert told(host, 3)["A"] == "1"
    log = (host.home / "logs" / "gapless.log").read_text()
    assert "could not be started" not in log


def test_a_file_that_hangs_leaves_other_apps_their_time(host: Host) -> None:
    """Theirs may take a moment, too."""
    one = host.directory / "app"
    with replaced_supervisor(host, SLOW_FILES):
        declare(host, 'environment_file = "hangs.env"\n', port=free_port())
        with host.begin("start", "gapless.toml") as hangs:
            until(lambda: not host.gapless("describe", "web").returncode, "the app")
            (one / "later.env").write_text("A=1\n")
            declare(host, 'environment_file = "later.env"\n', port=free_port())
            text = (host.directory / "gapless.toml").read_text()
            host.configure(text.replace("[app.web]", "[app.other]"), "other.toml")
            host.ok("start", "other.toml")
            assert hangs.poll() is None
            host.ok("delete", "web")


def test_environment_files_of_each_generation(host: Host) -> None:
    """A broken file takes nothing from what serves, not even after a crash."""
    more = 'environment_file = [".env", "-.env.local"]\numask = "027"\n'
    declare(host, more, port=free_port())
    file = host.directory / "app" / ".env"
    file.write_text("A=one\nB=file\n")
    host.start_file("gapless.toml", "web")
    assert told(host) | {"A": "one", "B": "own", "umask": 0o027} == told(host)
    assert host.ok("run", "web", "--", "sh", "-c", "echo $A $B; umask") == (
        "one own\n0027\n"
    )
    (host.directory / "app" / ".env.local").write_text("A='two'\n")
    host.ok("reload", "web")
    assert told(host, 2)["A"] == "two"
    file.write_text("A=three\nsecret\n")
    failed = host.gapless("reload", "web")
    assert failed.returncode == 1
    assert "app/.env: line 2 is not NAME=VALUE" in failed.stdout
    assert "secret" not in failed.stdout
    (pid,) = host.app("web")["pids"]
    os.kill(pid, signal.SIGKILL)
    assert told(host, 3)["A"] == "two"
    until(lambda: host.status("web") == "online", "it serves again")
    # A port that moves in the file has moved: nobody waits for the old one.
    other = free_port()
    declare(host, more, port=0)
    text = (host.directory / "gapless.toml").read_text().replace('PORT = "0", ', "")
    host.configure(text)
    file.write_text(f"A=three\nPORT={other}\n")
    host.ok("reload", "web")
    assert host.app("web")["addresses"] == [f"127.0.0.1:{other}"]
    file.write_text(f"A=three\nPORT={free_port()}\n")
    host.ok("reload", "web")
    kept = [path.read_text() for path in host.home.rglob("*.json")]
    assert not any("three" in text or "two" in text for text in kept)


@pytest.mark.skipif(
    not IS_ROOT and not os.environ.get("CI"), reason="only root becomes others"
)
def test_an_app_of_another_user(host: Host) -> None:
    """It has that user's HOME and names, and `run` runs as that user."""
    host.directory.chmod(0o755)
    declare(host, 'user = "nobody"\n', port=free_port())
    entry = pwd.getpwnam("nobody")
    os.chown(host.directory / "app", entry.pw_uid, entry.pw_gid)
    host.start_file("gapless.toml", "web")
    found = told(host)
    assert found["uid"] == entry.pw_uid
    assert [found[name] for name in ("HOME", "USER", "LOGNAME")] == [
        entry.pw_dir,
        "nobody",
        "nobody",
    ]
    assert found["groups"] == [entry.pw_gid]
    printed = host.ok("run", "web", "--", "sh", "-c", "id -un; echo $HOME $USER")
    assert printed == f"nobody\n{entry.pw_dir} nobody\n"


@pytest.mark.skipif(
    not IS_ROOT and not os.environ.get("CI"), reason="only root becomes others"
)
def test_an_app_of_another_user_gets_nothing_new_while_it_drains(host: Host) -> None:
    """Its stop under load is over with the requests that had begun."""
    port = free_port()
    more = 'user = "nobody"\nstop = { drain_timeout_s = 120 }\n'
    host.start("app", THREADS, port=port, more=more)
    with run_load(port, engine.NEW, SLOW) as load:
        load.wait_for(20)
        host.ok("stop", "app")
        report = load.stop()
    assert set(report.fates) <= {"answered", "refused"}, str(report)


@pytest.mark.soak
@pytest.mark.skipif(
    not IS_ROOT and not os.environ.get("CI"), reason="only root becomes others"
)
@pytest.mark.parametrize("more", ["", "overlap = false\n"])
def test_a_release_runs_as_another_user(host: Host, more: str) -> None:
    """Its sockets join those of the user of before, and nothing is lost."""
    port = free_port()
    host.start("app", THREADS, port=port)
    users = [f'user = "{name}"\n' for name in ("nobody", "daemon")]
    with run_load(port, engine.NEW, engine.KEEP_ALIVE) as load:
        load.wait_for_version("1")
        for number, user in enumerate([*users, ""], 2):
            found = f"{user}{more}"
            host.declare("app", THREADS, port=port, release=str(number), more=found)
            host.ok("reload", "app")
            load.wait_for_version(str(number))
        report = load.stop()
    assert report.lost == 0, str(report)


def test_limits_that_differ_and_limits_that_fail(host: Host) -> None:
    """The shell's limit is told if the supervisor's is lower; a refusal says why."""
    port = free_port()
    host.command_prefix = ("prlimit", "--nofile=700:900")
    declare(host, "", port=port)
    assert "open files:" not in host.ok("start", "gapless.toml")
    host.command_prefix = ("prlimit", "--nofile=800:900")
    warned = host.ok("reload", "web")
    assert "open files: it may have 700, this shell 800" in warned
    assert "limits = { open_files = 800 }" in warned
    declare(host, "limits = { open_files = 800 }\n", port=port)
    assert "open files:" not in host.ok("reload", "web")
    assert told(host, 3)["files"] == 800
    declare(host, f"limits = {{ open_files = {1 << 40} }}\n", port=port)
    failed = host.gapless("reload", "web")
    assert failed.returncode == 1
    assert f"set its limits open_files = {1 << 40}" in failed.stdout
    assert host.status("web") == "online"


def test_commands_work_from_a_directory_that_was_removed(host: Host) -> None:
    """As from the directory of a release that was cleaned up."""
    declare(host, "", port=free_port())
    toml = host.directory / "gapless.toml"
    javascript = host.directory / "one.config.js"
    javascript.write_text(
        f"module.exports = {{name: 'one', script: '{host.directory}/app/app.py', "
        f"interpreter: 'python3', cwd: '{host.directory}', "
        f"env: {{PORT: {free_port()}}}}}"
    )
    gone = host.directory / "gone"
    gone.mkdir()
    host.command_prefix = ("sh", "-c", f'cd {gone}; rmdir {gone}; exec "$0" "$@"')
    for words in (
        ("start", toml),
        ("list",),
        ("reload", toml),
        ("start", javascript),
    ):
        gone.mkdir(exist_ok=True)
        host.ok(*words)
    gone.mkdir(exist_ok=True)
    refused = host.gapless("start", "./nothing.js")
    assert refused.returncode == 3
    assert "hint: the directory of this shell was removed" in refused.stderr
    host.command_prefix = ()


def test_what_an_app_writes_is_no_reason_for_a_renewal(host: Host) -> None:
    """Its database, its uploads and its logs; a changed program is, and is named."""
    port = free_port()
    declare(host, 'renew = { watch = ["."] }\n', port=port)
    program = host.directory / "app" / "app.py"
    if IS_ROOT:  # else only what it holds open is known to be its own
        program.write_text(
            PROGRAM.replace(
                "        self.send_response",
                "        os.makedirs('up', exist_ok=True); open('up/a', 'a').write('x')\n"
                "        open('db.tmp', 'w').write('1'); os.replace('db.tmp', 'db')\n"
                "        self.send_response",
            )
        )
    host.start_file("gapless.toml", "web")
    log = host.home / "logs" / "gapless.log"
    for _ in range(5):
        ask(port)
    text = program.read_text()
    program.write_text(f"{text}# changed\n")
    until(lambda: host.row("web")["generation"] == 2, "the renewal")
    until(lambda: host.status("web") == "online", "its end")
    ask(port)
    program.write_text(f"{text}# again\n")
    until(lambda: host.row("web")["generation"] == 3, "the second renewal")
    until(lambda: host.status("web") == "online", "its end")
    reasons = [
        json.loads(line)["reason"]
        for line in log.read_text().splitlines()
        if '"event": "renewing"' in line
    ]
    assert reasons == [f"{program} changed"] * 2
    assert f"because: {program} changed" in host.ok("describe", "web")
    assert (host.directory / "app" / "data.db-wal").exists()


def ask(port: int) -> None:
    """Let the app answer one request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        answer.read()
