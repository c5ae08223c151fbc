"""Servers that people run in front of their sites are released under load."""

from __future__ import annotations

import json

import pytest

from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import answers, free_port, until

APACHE = """
ServerRoot "{here}"
ServerName x
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
Listen 127.0.0.1:{port}
User www-data
Group www-data
PidFile apache-${{GAPLESS_GENERATION}}.pid
ErrorLog apache.log
DefaultRuntimeDir "{here}"
DocumentRoot "{here}/www"
DirectoryIndex index.html
Header set X-Release "release {release}"
"""
LIGHTTPD = """
server.document-root = "{here}/www"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_indexfile", "mod_setenv")
index-file.names = ("index.html")
setenv.add-response-header = ("X-Release" => "release {release}")
"""
HAPROXY = """
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend all
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string "release {release}"
"""
PHP = "<?php echo 'release {release}';"
PROGRAMS = {
    "apache2": (APACHE, ["apache2", "-D", "FOREGROUND", "-f", "FILE"], "SIGWINCH"),
    "lighttpd": (LIGHTTPD, ["lighttpd", "-D", "-f", "FILE"], "SIGINT"),
    "haproxy": (HAPROXY, ["haproxy", "-f", "FILE"], "SIGUSR1"),
    "php": (PHP, ["php", "-S", "127.0.0.1:PORT", "FILE"], "SIGTERM"),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_server_loses_nothing(host: Host, name: str) -> None:
    """Neither new connections nor kept ones, in three releases of its configuration."""
    text, argv, signal = PROGRAMS[name]
    port, file = free_port(), host.directory / "configuration"
    here = host.directory
    here.chmod(0o755)
    (here / "www").mkdir()
    (here / "www" / "index.html").write_text("found\n")

    def write(release: int) -> None:
        file.write_text(text.format(here=here, port=port, release=release))

    command = [
        word.replace("FILE", str(file)).replace("PORT", str(port)) for word in argv
    ]
    host.environment["PATH"] += ":/usr/sbin"
    host.configure(
        f"[app.server]\ncommand = {json.dumps(command)}\nmin_healthy_s = 0.3\n"
        f'ready = "listening"\nstop = {{ signal = "{signal}" }}\n'
    )
    write(1)
    host.ok("start", "gapless.toml")
    until(lambda: answers(port), "it answers")
    with run_load(port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for(20)
        for release in (2, 3, 4):
            write(release)
            host.ok("reload", "server")
            # What a script is interpreted from changes for all generations at once.
            under_load.wait_for_version(str(release))
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("server")["restarts"] == 0
