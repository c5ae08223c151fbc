"""`gapless init` writes a file for what is there, and it starts right away."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gapless.client import Client
from rig.hosts.host import ROOT, SERVERS, Host
from rig.matrix import matrix
from rig.wait import answers, free_port, until

NODE = """
require('http').createServer((request, answer) => answer.end('found'))
  .listen(process.env.PORT || 3000, '127.0.0.1');
"""
WSGI = """
from flask import Flask
app = Flask(__name__)

@app.get("/health")
def health():
    return "well"

@app.get("/")
def page():
    return "found"
"""
ASGI = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
site = Starlette(routes=[Route("/", lambda request: PlainTextResponse("found"))])
"""
DJANGO = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "shop/__init__.py": "",
    "shop/settings.py": """
SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["*"]
""",
    "shop/urls.py": """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("found"))]
""",
    "shop/wsgi.py": """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
""",
}
RACK = "run ->(e) { [200, {'content-type' => 'text/plain'}, ['found']] }"
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class App {
  public static void main(String[] words) throws Exception {
    int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "PORT_HERE"));
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 50);
    server.createContext("/", each -> {
      each.sendResponseHeaders(200, 5);
      each.getResponseBody().write("found".getBytes());
      each.close();
    });
    server.start();
  }
}
"""
PERL = (ROOT / "examples" / "perl" / "app.pl").read_text()
PROCFILE = "web: python3 -m http.server $PORT --bind 127.0.0.1\njobs: sleep 1000\n"
GO = """
package main

import ("fmt"; "net/http"; "os")

func main() {
  http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
    fmt.Fprint(w, "found")
  })
  http.ListenAndServe("127.0.0.1:" + os.Getenv("PORT"), nil)
}
"""
FILES: dict[str, dict[str, str]] = {
    "node": {
        "package.json": json.dumps({"scripts": {"start": "node server/run.js"}}),
        "server/run.js": NODE,
    },
    "wsgi": {"app.py": WSGI, "requirements.in": "flask\n"},
    "asgi": {"src/site_app.py": ASGI},
    "django": DJANGO,
    "rack": {"config.ru": RACK},
    "php": {"public/index.php": "<?php echo 'found';"},
    "java": {"App.java": JAVA},
    "perl": {"app.pl": PERL, "VERSION": "1\n"},
    "static": {"build/index.html": "found"},
    "procfile": {"Procfile": PROCFILE},
}


def write(directory: Path, files: dict[str, str]) -> None:
    """Write the files of an app."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def directory(host: Host) -> Path:
    """Return the directory of an app."""
    host.environment["PATH"] += f":{SERVERS}"
    found = host.directory / "shop"
    found.mkdir()
    return found


@pytest.mark.parametrize("kind", matrix(FILES, "wsgi"))
def test_what_init_writes_starts_and_reloads(
    host: Host, directory: Path, kind: str
) -> None:
    """Two commands, and the app serves; two lines say what was seen and what is next."""
    port = free_port()
    write(
        directory,
        {n: c.replace("PORT_HERE", str(port)) for n, c in FILES[kind].items()},
    )
    said = host.ok("init", "--port", port, cwd=directory).splitlines()
    assert len(said) == 2
    assert said[0].startswith("wrote ./gapless.toml: ")
    assert said[1] == "next: gapless start"
    host.ok("check", cwd=directory)
    host.ok("start", cwd=directory)
    until(lambda: answers(port), f"{kind} answers")
    host.ok("reload", "shop")
    assert answers(port)


@pytest.mark.soak
def test_a_go_program_is_built_first(host: Host, directory: Path) -> None:
    """The two lines say so, and the second one is what to type."""
    go = shutil.which("go", path=host.environment["PATH"])
    assert go is not None
    write(directory, {"go.mod": "module example.org/shop\n\ngo 1.19\n", "main.go": GO})
    said = host.ok("init", cwd=directory).splitlines()
    assert said[1] == "next: go build -o shop . && gapless start"
    subprocess.run(
        ["sh", "-c", "go build -o shop ."],
        cwd=directory,
        env=host.environment | {"GOCACHE": str(host.directory / "cache")},
        check=True,
        timeout=300,
    )
    port = free_port()
    host.ok("start", cwd=directory, environment={"PORT": str(port)})
    until(lambda: answers(port), "it answers")


ECOSYSTEM = """
// Two apps, as PM2 has them.
module.exports = {
  apps: [
    { name: 'till', script: 'till.js', cwd: __dirname, instances: 2, env: { PORT: 1 },
      env_production: { PORT: PORT_HERE }, kill_timeout: 3000 },
    { name: 'jobs', script: './jobs.py', interpreter: 'python3', args: '--queue "a b"',
      gapless: { after: ['till'] } },
  ],
};
"""


def test_a_file_for_pm2_becomes_a_file_of_gapless(host: Host, directory: Path) -> None:
    """What it starts is what the file for PM2 starts."""
    port = free_port()
    code = ECOSYSTEM.replace("PORT_HERE", str(port))
    jobs = "import signal\nsignal.pause()\n"
    files = {"ecosystem.config.js": code, "till.js": NODE, "jobs.py": jobs}
    write(directory, files)
    (directory / "ecosystem.config.js").chmod(0o600)

    client = Client(str(host.home), starts=False)

    def started(*words: str) -> list[tuple[object, ...]]:
        host.ok("start", *words, cwd=directory)
        until(lambda: answers(port), "it answers")
        rows = client.request("list")["apps"]
        specs = [each["spec"] for each in client.request("list", only="specs")["apps"]]
        keys = ("name", "command", "directory", "after", "stop")
        return [
            (row["instances"], row["addresses"], *(each[key] for key in keys))
            for row, each in zip(rows, specs, strict=True)
        ]

    by_pm2 = started("ecosystem.config.js", "--env", "production")
    host.ok("delete", "all")
    said = host.ok("init", "--env", "production", cwd=directory).splitlines()
    assert said == [
        "wrote ./gapless.toml: what ecosystem.config.js declares for PM2: till, jobs",
        "next: gapless start",
    ]
    assert (directory / "gapless.toml").stat().st_mode & 0o777 == 0o600
    assert started() == by_pm2
    refused = host.gapless("init", cwd=directory)
    assert refused.returncode == 2
    assert "--force writes over it" in refused.stderr
