"""What `gapless init` sees in a directory, by names and beginnings of files."""

from __future__ import annotations

import errno
import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.base.errors import GaplessError, NotFoundError
from gapless.base.names import is_app_name
from gapless.config.detect import detect, files, look, text
from gapless.config.detect.facts import Facts
from gapless.config.toml.app_schema import App

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napi: FastAPI = FastAPI()\n"
NODE = "require('http').createServer(f).listen(process.env.PORT || 4000)"
SETTINGS = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')"
VENV = (".venv/bin/python", "-m")
SPRING = "<artifactId>spring-boot-starter-actuator</artifactId>"
KINDS: dict[str, tuple[dict[str, str], tuple[str, ...], str, tuple[str, ...]]] = {
    "express": (
        {
            "package.json": '{"name": "@x/shop", "scripts": {"start": "node a.js"}, '
            '"dependencies": {"express": "4"}}',
            "a.js": NODE,
        },
        (),
        "Node with Express",
        ("node", "a.js"),
    ),
    "next": (
        {
            "package.json": '{"scripts": {"start": "next start"}, '
            '"dependencies": {"next": "14"}}'
        },
        (),
        "Node with Next.js",
        ("node_modules/.bin/next", "start"),
    ),
    "a script of npm with a shell in it": (
        {"package.json": '{"scripts": {"start": "npm run build && node a.js"}}'},
        (),
        "Node",
        ("npm", "start"),
    ),
    "variables before the program": (
        {"package.json": '{"scripts": {"start:prod": "NODE_ENV=x node dist/main"}}'},
        (),
        "Node",
        ("node", "dist/main"),
    ),
    "main of package.json": (
        {"package.json": '{"main": "lib/x.js"}', "lib/x.js": NODE},
        (),
        "Node",
        ("node", "lib/x.js"),
    ),
    "a script of Node alone": ({"server.js": NODE}, (), "Node", ("node", "server.js")),
    "ASGI in a virtual environment": (
        {"main.py": FASTAPI, ".venv/bin/python": "", ".venv/bin/uvicorn": ""},
        (),
        "ASGI",
        (*VENV, "uvicorn", "--port", "8000", "main:api"),
    ),
    "ASGI by a server in PATH": (
        {"src/shop/app.py": FASTAPI},
        ("hypercorn",),
        "ASGI",
        ("hypercorn", "--bind", "127.0.0.1:8000", "shop.app:api"),
    ),
    "WSGI that asks for gunicorn": (
        {"app.py": FLASK, "requirements.txt": "gunicorn==23\nflask\n"},
        (),
        "WSGI",
        (
            *(*VENV, "gunicorn", "--bind", "127.0.0.1:8000", "--threads", "8"),
            "app:app",
        ),
    ),
    "WSGI with waitress": (
        {"app.py": "def application(environ, start_response):\n    pass\n"},
        ("waitress-serve",),
        "WSGI",
        ("waitress-serve", "--listen=127.0.0.1:8000", "app:application"),
    ),
    "a factory": (
        {"app.py": "def create_app():\n    return FastAPI()\n"},
        ("uvicorn",),
        "ASGI",
        ("uvicorn", "--port", "8000", "--factory", "app:create_app"),
    ),
    "Flask without a server": (
        {"app.py": FLASK + "if __name__ == '__main__':\n    app.run()\n"},
        (),
        "WSGI",
        ("python3", "app.py"),
    ),
    "Django": (
        {
            "manage.py": SETTINGS,
            "shop/wsgi.py": "",
            ".venv/bin/python": "",
            ".venv/bin/gunicorn": "",
        },
        (),
        "Django",
        (
            *(*VENV, "gunicorn", "--bind", "127.0.0.1:8000", "--threads", "8"),
            "shop.wsgi:application",
        ),
    ),
    "Django without a server": (
        {"manage.py": SETTINGS, "shop/wsgi.py": ""},
        (),
        "Django",
        ("python3", "manage.py", "runserver", "--noreload", "127.0.0.1:8000"),
    ),
    "a program in Python": (
        {"server.py": "HTTPServer(('', 80), H).serve_forever()"},
        (),
        "Python",
        ("python3", "server.py"),
    ),
    "Rails": (
        {
            "config.ru": "",
            "config/application.rb": "",
            "config/puma.rb": 'port ENV.fetch("PORT", 3000)',
            "Gemfile": "gem 'puma'",
        },
        ("bundle",),
        "Rails",
        ("bundle", "exec", "puma", "-C", "config/puma.rb"),
    ),
    "Rack": (
        {"config.ru": "run App"},
        ("puma",),
        "Rack",
        ("puma", "-b", "tcp://127.0.0.1:9292", "config.ru"),
    ),
    "unicorn": (
        {"config.ru": "", "Gemfile": "gem 'unicorn'"},
        (),
        "Rack",
        ("unicorn", "-l", "127.0.0.1:9292", "config.ru"),
    ),
    "PHP": (
        {"public/index.php": "<?php"},
        (),
        "PHP",
        ("php", "-S", "127.0.0.1:8000", "-t", "public"),
    ),
    "PHP-FPM": (
        {"index.php": "", "fpm.conf": "[www]\nlisten = /run/x.sock\npm = static\n"},
        ("php-fpm8.2",),
        "PHP-FPM",
        ("php-fpm8.2", "--nodaemonize", "--fpm-config", "fpm.conf"),
    ),
    "Go": ({"go.mod": "module x.org/y/shop\n"}, (), "Go", ("./shop",)),
    "Go, programs below cmd": (
        {"go.mod": "module x.org/shop\n", "cmd/shop/a.go": "", "cmd/load/b.go": ""},
        (),
        "Go",
        ("./shop",),
    ),
    "Deno by a task": (
        {"deno.json": '{"tasks": {"start": "deno run -A main.ts"}}', "main.ts": ""},
        (),
        "Deno",
        ("deno", "run", "-A", "main.ts"),
    ),
    "Deno alone": (
        {"main.ts": "Deno.serve(() => new Response('x'))"},
        (),
        "Deno",
        ("deno", "run", "--allow-net", "--allow-env", "main.ts"),
    ),
    "Bun without a script": (
        {"package.json": '{"module": "index.ts"}', "bun.lock": "", "index.ts": ""},
        (),
        "Bun",
        ("bun", "index.ts"),
    ),
    "Sinatra": (
        {"app.rb": "require 'sinatra'\n", "Gemfile": "gem 'sinatra'"},
        ("bundle",),
        "Sinatra",
        ("bundle", "exec", "ruby", "app.rb", "-e", "production", "-p", "4567"),
    ),
    "Bottle that serves by itself": (
        {"app.py": "from bottle import route, run\nrun(host='', port=8080)\n"},
        (),
        "Python",
        ("python3", "app.py"),
    ),
    "FastAPI with all that it recommends": (
        {"main.py": FASTAPI, "pyproject.toml": 'dependencies = ["fastapi[standard]"]'},
        ("uvicorn",),
        "ASGI",
        (".venv/bin/python", "-m", "uvicorn", "--port", "8000", "main:api"),
    ),
    "Rust": (
        {"Cargo.toml": '[package]\nname = "shop"\n'},
        (),
        "Rust",
        ("./target/release/shop",),
    ),
    "a jar": (
        {"pom.xml": SPRING, "target/a-1.jar": "", "target/a-1-sources.jar": ""},
        (),
        "Java with Spring Boot",
        ("java", "-jar", "target/a-1.jar"),
    ),
    "Perl": (
        {"app.pl": "my $port = $ENV{PORT} || 5001;"},
        (),
        "Perl",
        ("perl", "app.pl"),
    ),
    "PSGI": (
        {"app.psgi": ""},
        ("starman",),
        "PSGI",
        ("starman", "-l", "127.0.0.1:5000", "app.psgi"),
    ),
    "static files": (
        {"dist/index.html": ""},
        (),
        "static files",
        (
            *("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1"),
            *("--directory", "dist"),
        ),
    ),
    "static files that are built": (
        {
            "package.json": '{"scripts": {"start": "vite", "build": "vite build"}}',
            "dist/index.html": "",
        },
        (),
        "static files",
        (
            *("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1"),
            *("--directory", "dist"),
        ),
    ),
    "a Procfile": (
        {"Procfile": "web: gunicorn app:app\nworker: python jobs.py -n 3\n"},
        (),
        "a Procfile",
        ("gunicorn", "app:app"),
    ),
    "a Procfile with a variable": (
        {"Procfile": "web: puma -p $PORT\nrelease: rake migrate\n"},
        (),
        "a Procfile",
        ("sh", "-c", "exec puma -p $PORT"),
    ),
    "a script to start with": ({"start.sh": ""}, (), "a script", ("bash", "start.sh")),
}


def facts(
    content: dict[str, str], programs: tuple[str, ...] = (), port: int = 0
) -> Facts:
    """Return a directory with these files."""
    return Facts(
        name="shop",
        files=frozenset(content),
        heads=content,
        programs=frozenset(programs),
        port=port,
    )


def apps_of(seen: Facts) -> dict[str, App]:
    """Return the apps of the file that is written, checked as `gapless start` does."""
    found = detect.detect(seen)
    assert found is not None
    tables = tomllib.loads(text.write(found, detect.others_seen(seen)))
    assert list(tables) == ["app"]
    return {
        name: msgspec.convert(table, App, strict=True)
        for name, table in tables["app"].items()
    }


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_seen(name: str) -> None:
    """And its file has the command that starts it."""
    content, programs, kind, command = KINDS[name]
    seen = facts(content, programs)
    found = detect.detect(seen)
    assert found is not None
    assert found.kind == kind
    app = next(iter(apps_of(seen).values()))
    assert tuple(app.command) == command


def test_the_port_that_is_wanted_is_written() -> None:
    """In the variable that the program reads, or among its arguments."""
    (app,) = apps_of(facts({"server.js": NODE}, port=4321)).values()
    assert app.environment == {"PORT": 4321}
    (app,) = apps_of(facts({"app.py": FLASK}, ("gunicorn",), 4321)).values()
    assert "127.0.0.1:4321" in app.command


def test_what_the_program_says_is_kept() -> None:
    """Its own port, its health path, the name of its package, and what it needs first."""
    content = {
        "package.json": '{"name": "@x/till", "dependencies": {"koa": "2"}}',
        "index.js": NODE + "; router.get('/healthz', f)",
        "package-lock.json": "{}",
    }
    found = detect.detect(facts(content))
    assert found is not None
    assert found.first == ("npm ci",)
    (till,) = apps_of(facts(content)).values()
    assert text.app_names(found) == ["till"]
    assert till.environment == {"PORT": 4000}
    assert msgspec.to_builtins(till.ready)["http"] == "/healthz"


def test_every_line_of_a_procfile_is_an_app() -> None:
    """The one called web has the name of the directory, and a port."""
    content = {"Procfile": "web: a $PORT\njobs: b\n", ".env": "A=1"}
    apps = apps_of(facts(content))
    assert list(apps) == ["shop", "shop-jobs"]
    assert apps["shop"].environment == {"PORT": 5000}
    assert apps["shop-jobs"].environment == {}
    assert apps["shop"].environment_file == ".env"


def test_no_key_stands_twice_in_a_table() -> None:
    """Whoever takes all comments away would have a file that is no TOML."""
    found = detect.detect(facts({"Procfile": "jobs: python jobs.py\n"}))
    assert found is not None
    written = text.write(found, [])
    assert written.count("stop = ") == 1
    assert written.splitlines()[1:4] == [
        "# gapless start            starts shop-jobs",
        "# gapless reload shop-jobs hands over to a new version, losing no request",
        "# gapless check            says what is wrong in this file",
    ]


def test_what_else_was_seen_is_told_and_not_written() -> None:
    """A directory may hold two programs; one is meant."""
    seen = facts({"app.py": FLASK, "index.html": ""}, ("gunicorn",))
    assert detect.others_seen(seen) == ["static files (index.html is there)"]
    assert list(apps_of(seen)) == ["shop"]


def test_a_declaration_for_pm2_is_seen() -> None:
    """Another app.json is none."""
    assert files.pm2(facts({"app.json": '{"apps": []}'})) == "app.json"
    assert files.pm2(facts({"app.json": '{"expo": {}}'})) == ""
    assert files.pm2(facts({"pm2.yml": "apps:\n  - script: a.js"})) == "pm2.yml"


ODD = st.text(min_size=0, max_size=60)
NAMES = st.sampled_from(
    [
        *("package.json", "Procfile", "app.py", "manage.py", "go.mod", "Cargo.toml"),
        *("config.ru", "index.php", "x.psgi", "app.pl", "pom.xml", "start.sh", ".env"),
        *("a.conf", "Main.java", "shop/wsgi.py", "config/puma.rb", "index.js"),
    ]
)
SEEDS = st.sampled_from(
    [*(each for c, *_ in KINDS.values() for each in c.values()), ""]
)


@given(
    name=ODD,
    content=st.dictionaries(NAMES, st.tuples(SEEDS, ODD).map("".join), max_size=6),
)
@settings(max_examples=60)
def test_whatever_files_hold_the_file_is_valid(
    name: str, content: dict[str, str]
) -> None:
    """Names and texts of others reach the file as values and comments only."""
    seen = Facts(name=name, files=frozenset(content), heads=content)
    found = detect.detect(seen)
    if found is None:
        return
    apps = apps_of(seen)
    assert len(apps) == len(found.apps)
    assert all(is_app_name(each) for each in apps)


def test_a_directory_is_looked_into_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No FIFO makes it wait, no link is read, and not every file of a big tree."""
    os.mkfifo(tmp_path / "app.py")
    (tmp_path / "package.json").symlink_to("/proc/self/environ")
    (tmp_path / "node_modules" / "x").mkdir(parents=True)
    (tmp_path / "node_modules" / "x" / "index.js").write_text("listen")
    (tmp_path / "program").write_bytes(b"\x7fELF")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / os.fsdecode(b"\xff.py")).write_text("")
    found = look.facts(str(tmp_path), 0)
    assert found.files == {"app.py", "package.json", "program"}
    assert found.heads == {"app.py": "", "package.json": ""}
    assert found.binaries == {"program"}
    monkeypatch.setattr(look, "MOST_FILES", 2)
    assert len(look.facts(str(tmp_path), 0).files) <= 2
    with pytest.raises(NotFoundError):
        look.facts(str(tmp_path / "none"), 0)


def test_a_directory_below_that_may_not_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a database which runs as another user; the top must be readable."""
    (tmp_path / "data").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(FLASK)
    scan, refused = os.scandir, {str(tmp_path / "data")}

    def refusing(path: str) -> Any:  # root, who may run this test, is refused nothing
        if path in refused:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert look.facts(str(tmp_path), 0).files == {"src/app.py"}
    refused.add(str(tmp_path))
    with pytest.raises(
        GaplessError, match=r"could not look into .*: permission denied"
    ):
        look.facts(str(tmp_path), 0)


def test_of_a_directory_with_very_many_names_not_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What sorts them would hold them all."""
    for number in range(5):
        (tmp_path / f"{number}.py").write_text("")
    monkeypatch.setattr(look, "MOST_LISTED", 3)
    assert len(look.facts(str(tmp_path), 0).files) == 3
