"""The pages for those who come from Capistrano, systemd and Kamal.

Kamal needs Docker, which is not started here: its page is followed without it, by a push
over a real sshd.  The unit of systemd is a process, and `systemctl` a script that ends it:
what is shown is that nginx moves from one port to the other.
"""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest

from rig.background import BackgroundProcess
from rig.fixtures.howto import HowTo, python_shop
from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.programs.sshd import Sshd
from rig.wait import answers, free_port, until

RACK = """
run lambda { |env|
  [200, {"Content-Type" => "text/plain"}, ["release 1 pid #{Process.pid}"]]
}
"""
GEMS = 'gem "puma"\ngem "rack"\n'
CAPFILE = """
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
"""
STAGE = """
server "127.0.0.1", user: "{user}", roles: %w[app], ssh_options: {{
  port: {port}, keys: ["{key}"], keys_only: true, verify_host_key: :never }}
set :default_env, {{ path: "{path}", gapless_home: "{home}" }}
"""
COMMIT = (
    "git add . && git -c user.name=ada -c user.email=ada@example.org commit -qm version"
)


@pytest.mark.soak
def test_from_capistrano(host: Host) -> None:
    """Capistrano itself, by ssh; its restart is a handoff."""
    port, sshd = free_port(), Sshd(host.directory / "ssh").start()
    page = HowTo(host, "from-capistrano", port_3000=str(port))
    page.lay_out()
    home = page.path("/home/ada/shop")
    deploy = (
        f'set :application, "shop"\nset :repo_url, "{home}"\n'
        f'set :deploy_to, "{page.path("/srv/shop")}"\n'
        f'set :tmp_dir, "{page.path("/home/ada")}"\n'
    )
    files = {
        "Capfile": CAPFILE,
        "Gemfile": GEMS,
        "config.ru": RACK,
        "config/deploy.rb": deploy,
        "config/deploy/production.rb": STAGE.format(
            user=getpass.getuser(),
            port=sshd.port,
            key=sshd.directory / "user_key",
            path=host.environment["PATH"],
            home=host.home,
        ),
    }
    page.write("/home/ada/shop", files)

    def run(command: str) -> None:
        subprocess.run(
            ["sh", "-c", command],
            cwd=home,
            env=host.environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )

    def change() -> None:
        newer = {
            "config.ru": RACK.replace("release 1", "release 2"),
            "config/deploy.rb": deploy + page.block("ruby"),
        }
        page.write("/home/ada/shop", newer)
        run(COMMIT)

    try:
        run(f"git init -q -b master && {COMMIT} && cap production deploy")
        found = page.follow(port, {("cap", 1): change})
    finally:
        sshd.close()
    assert set(found) == {"1", "2"}


@pytest.mark.soak
def test_from_systemd(host: Host, tmp_path: Path) -> None:
    """Who asks nginx without pause gets an answer from both, and no other."""
    port, old, new = free_port(), free_port(), free_port()
    page = HowTo(
        host,
        "from-systemd",
        **{"listen 80": f"listen 127.0.0.1:{port}"},
        port_8000=str(old),
        port_8001=str(new),
    )
    page.lay_out()
    page.write("/srv/shop", {"app.py": python_shop("{os.environ['PORT']}")})
    unit = BackgroundProcess(tmp_path / "unit.log")
    command = ["python3", str(page.path("/srv/shop/app.py"))]
    unit.start(command, env=host.environment | {"PORT": str(old)})
    page.program("sudo", 'exec "$@"')
    page.program(
        "nginx",
        f'exec /usr/sbin/nginx -p {tmp_path} -c {tmp_path}/nginx.conf "$@" 2>log',
    )
    page.program("systemctl", f"kill {unit.pid}")

    def unasked() -> bool:
        argv = ["ss", "-Htn", "state", "established", "dport", "=", f":{old}"]
        done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
        return not done.stdout

    try:
        with page.nginx(tmp_path):
            until(lambda: answers(port), "nginx and the unit answer")
            with run_load(port, engine.NEW) as load:
                load.wait_for_version(str(old))
                page.follow(
                    before={("sudo systemctl", 1): lambda: until(unasked, "no request")}
                )
                load.wait_for_version(str(new))
                report = load.stop()
        assert report.lost == 0, str(report)
        unit.wait(20)
    finally:
        unit.kill()


@pytest.mark.soak
def test_from_kamal(host: Host) -> None:
    """The first push makes a release, the second one is handed over to."""
    port, sshd = free_port(), Sshd(host.directory / "ssh").start()
    to = sshd.to(host.directory / "srv" / "shop")
    page = HowTo(
        host, "from-kamal", port_3000=str(port), **{"deploy@app1:/srv/shop": to}
    )
    page.replace('"--quiet"', '"--quiet", "--local"')
    page.lay_out()
    page.path("/srv/shop/src").mkdir()
    host.environment["GAPLESS_SSH"] = sshd.command
    file = page.path("/srv/shop/gapless.toml")
    watch = BackgroundProcess(host.directory / "watch.log")
    page.write("/home/ada/shop", {"Gemfile": GEMS, "config.ru": RACK})
    try:
        host.start_in_background(watch, "watch", "-c", file)
        page.follow()
        host.ok("start", file)
        until(lambda: answers(port), "the first release")
        newer = RACK.replace("release 1", "release 2")
        page.write("/home/ada/shop", {"config.ru": newer})
        with run_load(port, engine.NEW, engine.KEEP_ALIVE) as load:
            load.wait_for_version("1")
            page.follow()
            load.wait_for_version("2")
            report = load.stop()
        assert report.lost == 0, str(report)
    finally:
        watch.terminate()
        sshd.close()
