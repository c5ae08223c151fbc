"""Programs on Unix-domain paths are handed over, and no request on one is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
from pathlib import Path

import pytest

from gapless.base import clock
from gapless.supervisor.sockets.groups import REMOVED_S
from rig import wait
from rig.background import BackgroundProcess
from rig.hosts.host import APPS, NOBODY, ORDINARY_USER, SERVERS, Host
from rig.load import engine
from rig.load.paths import load_on_path
from rig.load.process import run_load
from rig.matrix import times
from rig.programs import nginx
from rig.wait import free_port

PROGRAM_FILES = (
    *("sockets/path_app.js", "sockets/path_app.py"),
    *("wsgi_app.py", "asgi_app.py"),
)
PYTHON = str(SERVERS / "python")
SERVED = (
    *("node", "gunicorn", "puma"),
    pytest.param("uvicorn", marks=pytest.mark.soak),
)
PROGRAMS = {
    "node": ["node", "path_app.js"],
    "gunicorn": [
        *(str(SERVERS / "gunicorn"), "-b", "unix:PATH", "-w", "2"),
        *("--threads", "4", "wsgi_app:app"),
    ],
    "uvicorn": [
        *(PYTHON, "-m", "uvicorn", "--uds", "PATH", "--no-access-log"),
        "asgi_app:app",
    ],
    "script": ["python3", "path_app.py"],
    "php-fpm": ["/usr/sbin/php-fpm8.2", "-F", "-y", "fpm.conf"],
    "puma": ["puma", "-q", "-t", "8:8", "-b", "unix://PATH", "config.ru"],
}
RACKUP = """
run lambda { |env|
  sleep 0.3 if env["PATH_INFO"] == "/slow"
  body = "release #{ENV["RELEASE"]} pid #{Process.pid}\\n"
  [200, {"Content-Type" => "text/plain", "Content-Length" => body.bytesize.to_s}, [body]]
}
"""


class PathApp:
    """An app on a path of its own."""

    def __init__(
        self,
        host: Host,
        name: str,
        *more: str,
        how: str = "unlink remove",
        instances: int = 2,
        at: str = "app.sock",
    ) -> None:
        self.host, self.name, self.more = host, name, more
        self.instances, self.how = instances, how
        self.path = host.directory / "run" / at
        self.path.parent.mkdir(exist_ok=True)
        self.address = str(self.path)
        self.rooms = host.directory / "app"
        if not self.rooms.exists():
            self.rooms.mkdir()
            for each in PROGRAM_FILES:
                shutil.copy(APPS / each, self.rooms)
            (self.rooms / "config.ru").write_text(RACKUP)

    def declare(self, release: int, argv: list[str] | None = None) -> None:
        """Write the configuration of a release."""
        words = argv or PROGRAMS[self.name]
        command = [word.replace("PATH", str(self.path)) for word in words]
        lines = [
            f"[app.{self.name}]",
            f"command = {command!r}".replace("'", '"'),
            f'directory = "{self.rooms}"',
            f"instances = {self.instances}",
            "min_healthy_s = 0.3",
            *self.more,
            "[app." + self.name + ".environment]",
            f'RELEASE = "{release}"',
            f'APP_SOCKET = "{self.address}"',
            f'HOW = "{self.how}"',
        ]
        self.host.configure("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start the first release."""
        self.declare(1)
        self.host.ok("start", "gapless.toml")
        wait.until(lambda: self.host.row(self.name)["addresses"], "it listens")

    def start_anyhow(self) -> None:
        """Start the first release, and wait until it is online."""
        self.declare(1)
        self.host.ok("start", "gapless.toml")
        wait.until(lambda: self.host.status(self.name) == "online", "it is online")

    def release(self, number: int) -> str:
        """Hand over to the next release; return what the command printed."""
        self.declare(number)
        return self.host.ok("reload", "gapless.toml")

    def answer(self) -> str:
        """Return what the app answers on its path now."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.path))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        return answer.decode().rpartition("\r\n")[2].partition(" pid")[0]

    def mode(self) -> int:
        """Return the mode of the path."""
        return stat.S_IMODE(self.path.stat().st_mode)

    def beside(self) -> list[str]:
        """Return what lies in the directory of the path."""
        return sorted(os.listdir(self.path.parent))


@pytest.mark.parametrize("count", times(1, 10))
@pytest.mark.parametrize("name", SERVED)
def test_handoffs_lose_nothing(host: Host, name: str, count: int) -> None:
    """They remove the path before they bind and at their end, and some ask who is there."""
    app = PathApp(host, name)
    app.start()
    with load_on_path(str(app.path)) as load:
        load.wait_for("release 1")
        for number in range(2, count + 2):
            app.release(number)
            load.wait_for(f"release {number}")
        lost = load.stop()
    assert not lost, lost
    assert app.beside() == ["app.sock", f"app.sock.gapless-{count + 1}"]
    host.ok("stop", name)
    assert app.beside() == []


FPM = """
[global]
daemonize = no
error_log = /dev/stderr
[www]
user = www-data
listen = {path}
listen.mode = 0666
pm = static
pm.max_children = 6
env[RELEASE] = $RELEASE
"""
PHP = "<?php echo 'release ' . getenv('RELEASE') . ' pid ' . getmypid() . PHP_EOL;"


@pytest.mark.soak
@pytest.mark.parametrize("name", ["node", "php-fpm"])
def test_nginx_in_front_gets_every_answer(
    host: Host, tmp_path: Path, name: str
) -> None:
    """It answers 502 where it finds nobody on the path."""
    app, port = PathApp(host, name, instances=1), free_port()
    upstream = f"proxy_pass http://unix:{app.path};"
    if name == "php-fpm":
        (app.rooms / "fpm.conf").write_text(FPM.format(path=app.path))
        (app.rooms / "index.php").write_text(PHP)
        upstream = (
            f"fastcgi_pass unix:{app.path}; include /etc/nginx/fastcgi_params;"
            f"fastcgi_param SCRIPT_FILENAME {app.rooms}/index.php;"
        )
    for each in (host.directory, app.rooms, app.path.parent):
        each.chmod(0o755)
    front = tmp_path / "nginx.conf"
    server = f"  server {{ listen 127.0.0.1:{port}; location / {{ {upstream} }} }}"
    front.write_text(nginx.configuration(tmp_path, server))
    balancer = BackgroundProcess(tmp_path / "nginx.log")
    app.start()
    app.path.chmod(0o666)
    balancer.start(nginx.command(tmp_path))
    try:
        wait.until(lambda: wait.answers(port), "nginx answers")
        with run_load(port, engine.NEW) as under_load:
            for number in (1, 2, 3):
                if number > 1:
                    app.release(number)
                under_load.wait_for_version(str(number))
            report = under_load.stop()
    finally:
        balancer.terminate()
    assert report.lost == 0, str(report)


def test_more_and_fewer_instances_lose_nothing(host: Host) -> None:
    """Those that end try to remove the path that the others serve on."""
    app = PathApp(host, "node")
    app.start()
    with load_on_path(str(app.path)) as load:
        load.wait_for("release 1")
        for count in (3, 1):
            host.ok("scale", "node", count)
        host.ok("restart", "node")
        lost = load.stop()
    assert not lost, lost
    assert app.answer() == "release 1"


def test_recycle_keeps_the_path(host: Host) -> None:
    """Who connects between two instances waits in the queue of the socket."""
    app = PathApp(host, "node", "overlap = false", instances=1)
    app.start()
    with load_on_path(str(app.path)) as load:
        load.wait_for("release 1")
        app.release(2)
        load.wait_for("release 2")
        lost = load.stop()
    assert not lost, lost


def test_path_that_nobody_could_foresee_is_put_back(host: Host) -> None:
    """Nothing tells before the first start that the program serves on a path."""
    app = PathApp(host, "script", at="here", instances=2)
    app.start()
    for number in (2, 3):
        app.release(number)
        assert app.answer() == f"release {number}"
    assert app.beside() == ["here", "here.gapless-3"]


@pytest.mark.parametrize("how", ["", "ask unlink", "relative unlink remove"])
def test_ways_to_take_a_path(host: Host, how: str) -> None:
    """Not to look, to ask first, and to name it from its own directory."""
    app = PathApp(host, "script", 'ready = "listening"', how=how)
    app.start()
    app.release(2)
    assert app.answer() == "release 2"
    host.ok("shutdown")
    assert app.beside() == []


def test_ordinary_user_hands_over_a_path(host: Host) -> None:
    """Nothing of it needs a privilege."""
    if os.geteuid() == 0:
        host.command_prefix = ORDINARY_USER
    app = PathApp(host, "script", how="unlink remove chmod=622")
    for each in (host.directory, app.rooms, app.path.parent):
        shutil.chown(each, NOBODY)
    app.start()
    app.release(2)
    assert app.answer() == "release 2"
    assert app.mode() == 0o622


def test_probe_asks_the_new_socket(host: Host) -> None:
    """The path is the old generation's still when the new one is asked."""
    app = PathApp(host, "node", 'ready = { http = "/health" }', instances=1)
    app.start()
    printed = app.release(2)
    assert "is ready: GET /health answered 200" in printed
    assert app.answer() == "release 2"


def test_path_that_the_next_release_leaves(host: Host) -> None:
    """It is missed, unless somebody says that it is meant."""
    app = PathApp(host, "script", "ready = { timeout_s = 3 }", instances=1)
    app.start()
    app.how = "unlink elsewhere"
    app.declare(2)
    done = host.gapless("reload", "gapless.toml")
    assert done.returncode == 1
    assert f"but not on unix:{app.path}" in done.stdout
    assert f"--drop {app.path}" in done.stdout
    assert app.answer() == "release 1"
    host.ok("reload", "gapless.toml", "--drop", app.path)
    assert app.beside() == ["app.sock-2", "app.sock-2.gapless-3"]


def test_mode_of_the_path_is_kept(host: Host) -> None:
    """What the program, or an administrator, gave the path goes on to the next socket."""
    app = PathApp(host, "script", how="unlink chmod=660")
    app.start()
    app.release(2)
    assert app.mode() == 0o660
    app.path.chmod(0o606)
    app.how = "unlink"
    app.release(3)
    assert app.mode() == 0o606


def test_mode_by_umask_is_that_of_the_new_release(host: Host) -> None:
    """Nobody has set a mode, so none is kept."""
    app = PathApp(host, "script", how="unlink umask=077")
    app.start()
    assert app.mode() == 0o700
    app.how = "unlink umask=0"
    app.release(2)
    assert app.mode() == 0o777


def test_path_belongs_to_who_bound_it_last(host: Host) -> None:
    """Two apps on one path: the second removes that of the first, and has it."""
    first, second = (
        PathApp(host, "script", how=how, instances=1, at="here")
        for how in ("unlink remove", "unlink remove")
    )
    first.start()
    first.declare(1)
    text = (host.directory / "gapless.toml").read_text()
    host.configure(
        text.replace("[app.script", "[app.other").replace('"1"', '"other"'), "b.toml"
    )
    host.ok("start", "b.toml")
    wait.until(lambda: second.answer() == "release other", "the other has the path")


def test_paths_that_a_program_needs_for_itself_are_not_missed(host: Host) -> None:
    """It cleans up a directory that it made, and has closed other paths again."""
    app = PathApp(host, "script", how="scratch closed=2 unlink remove", instances=1)
    app.start()
    assert not [each for each in app.beside() if each.startswith("scratch")]
    app.how = "scratch unlink remove"
    app.release(2)
    assert app.answer() == "release 2"
    assert app.beside() == ["app.sock", "app.sock.gapless-2"]


def test_who_took_a_path_of_another_app_is_released(host: Host) -> None:
    """The socket of the other is hidden, and is no obstacle."""
    app = PathApp(host, "script", how="unlink", instances=1, at="here")
    app.start()
    text = (host.directory / "gapless.toml").read_text()
    other = text.replace("[app.script", "[app.other")
    host.configure(other.replace('"1"', '"other"'), "b.toml")
    host.ok("start", "b.toml")
    wait.until(lambda: app.answer() == "release other", "the other has the path")
    time_over = clock.monotonic() + REMOVED_S
    wait.until(lambda: clock.monotonic() > time_over, "the path was taken long ago")
    host.configure(other.replace('"1"', '"next"'), "b.toml")
    host.ok("reload", "b.toml")
    assert app.answer() == "release next"


def test_failed_release_leaves_the_path(host: Host) -> None:
    """One that dies after it listens, before and after the switch."""
    app = PathApp(host, "script", how="unlink remove", instances=1)
    app.start()
    app.how = "unlink die"
    app.declare(2)
    with load_on_path(str(app.path)) as load:
        load.wait_for("release 1")
        done = host.gapless("reload", "gapless.toml")
        assert done.returncode == 1, done.stdout
        lost = load.stop()
    assert app.answer() == "release 1"
    assert set(lost) <= {"ConnectionResetError after 0 bytes"}, lost  # by release 2
    assert app.beside() == ["app.sock", "app.sock.gapless-1"]


def test_path_that_the_program_renames(host: Host) -> None:
    """The switch is the program's own: gapless leaves both names alone."""
    app = PathApp(host, "script", how="rename", instances=1)
    app.start()
    wait.until(app.path.exists, "it is renamed")
    for number in (2, 3):
        app.release(number)
        assert app.answer() == f"release {number}"
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    host.ok("list")
    app.release(4)
    assert app.answer() == "release 4"
    assert app.beside() == ["app.sock", "app.sock.new.gapless-4"]


def test_abstract_name_is_recycled_with_a_warning(host: Host) -> None:
    """Only one socket can have it; who wants an overlap all the same is refused by name."""
    app = PathApp(host, "script", how="", instances=1)
    app.address = f"@gapless-test-{os.getpid()}"
    app.start_anyhow()
    table = Path("/proc/net/unix")
    wait.until(lambda: app.address in table.read_text(), "the name is bound")
    printed = app.release(2)
    assert f"recycling: {app.address}: abstract names" in printed
    app.more = ("overlap = true",)
    app.declare(3)
    done = host.gapless("reload", "gapless.toml")
    assert done.returncode == 1
    assert f"the abstract name {app.address} is in use" in done.stdout
    assert "overlap = false" in done.stdout
    assert host.status("script") == "online"


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)],
)
def test_next_supervisor_goes_on(host: Host, number: int) -> None:
    """It knows whose the path is, and an unlink meanwhile is mended."""
    app = PathApp(host, "script")
    app.start()
    app.release(2)
    pid = host.supervisor_pid()
    os.kill(pid, number)
    wait.until(lambda: not Path(f"/proc/{pid}").exists(), "the supervisor has ended")
    app.path.unlink()
    host.ok("list")
    assert app.answer() == "release 2"
    app.release(3)
    assert app.answer() == "release 3"
    assert app.beside() == ["app.sock", "app.sock.gapless-3"]


def test_app_of_another_user_binds_as_that_user(host: Host) -> None:
    """It owns the path, and gets no path where its user may make none."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    app = PathApp(host, "script", 'user = "nobody"', how="unlink remove")
    for each in (host.directory, app.rooms):
        each.chmod(0o755)
    shutil.chown(app.path.parent, "nobody")
    app.start()
    app.release(2)
    found = app.path.stat()
    assert found.st_uid == NOBODY
    assert app.answer() == "release 2"
    shutil.chown(app.path.parent, "root")
    app.declare(3)
    done = host.gapless("reload", "gapless.toml")
    assert done.returncode == 1
    assert "permission denied" in done.stdout
    assert app.answer() == "release 2"


def test_path_given_to_another_user_comes_back(host: Host) -> None:
    """An administrator gives it to the proxy's user, and the next release fails."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    app = PathApp(host, "script", 'user = "nobody"', how="unlink remove", instances=1)
    for each in (host.directory, app.rooms):
        each.chmod(0o755)
    shutil.chown(app.path.parent, "nobody")
    app.start()
    os.chown(app.path, 33, 33)
    app.path.chmod(0o660)
    app.release(2)
    assert (app.path.stat().st_uid, app.mode()) == (33, 0o660)
    app.how = "unlink die"
    app.declare(3)
    assert host.gapless("reload", "gapless.toml").returncode == 1
    assert app.answer() == "release 2"
    assert app.path.stat().st_uid == 33
    assert app.beside() == ["app.sock", "app.sock.gapless-2"]


def test_path_left_by_a_dead_keeper_is_bound(host: Host) -> None:
    """The program does not remove what it finds there."""
    app = PathApp(host, "script", 'ready = "listening"', how="", instances=1)
    app.start()
    supervisor, keeper, guardian = host.own_pids()
    # Each before the one that it would start again.
    pids = [supervisor, guardian, keeper, *host.app("script")["pids"]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: not pids_there(pids), "they have ended")
    host.gapless("start", "gapless.toml")  # starts a supervisor, and that the app
    names = ["app.sock", "app.sock.gapless-2"]
    wait.until(lambda: app.beside() == names, "the path is bound")
    wait.until(lambda: host.status("script") == "online", "it is online")
    assert app.answer() == "release 1"


def pids_there(pids: list[int]) -> list[int]:
    """Return which of some processes have not ended."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]
