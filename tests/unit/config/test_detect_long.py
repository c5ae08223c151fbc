"""What `gapless init` looks at may be long, and of one kind: it ends in a moment."""

from __future__ import annotations

import time

import pytest

from gapless.config.detect import code, detect, files, foreign
from gapless.config.detect.facts import HEAD_BYTES, Facts

NAMES = (
    *("package.json", "deno.json", "Procfile", "go.mod", "Cargo.toml", "manage.py"),
    *("app.py", "shop/urls.py", "requirements.txt", "config.ru", "config/puma.rb"),
    *("Gemfile", "app.rb", "fpm.conf", "x.psgi", "app.pl", "pom.xml", "Main.java"),
    *("index.js", "main.ts", "start.sh", "index.html", "a.service", "Dockerfile"),
    *("supervisord.conf", "compose.yml", "ecosystem.config.js", "app.json"),
)
BEGINS = (
    *("", "[program:x]\n", "ExecStart=", "CMD ", "x: ", "x = ", "web: ", "module "),
    *(
        "run(",
        "from bottle import ",
        "listen",
        "process.env.PORT",
        "environ",
        "import ",
    ),
    *('"', "'", "`", "`${", "/*", "{", '{"scripts": {"start": "', "def app(", "["),
    *("DJANGO_SETTINGS_MODULE', ", "$ENV{PORT}", "x.listen(", "require(", "apps", "- "),
    *(
        "from flask import Flask\n",
        "require 'sinatra'\n",
        "listen = 1\n",
        "Math",
        "--a ",
    ),
)
UNITS = ("\n", " ", "a", "a.", "(", '\\"', "=", "{", "x\n", "\n ")
BESIDE = {"config/puma.rb": "config.ru", "Gemfile": "config.ru"}
"""What has to be there for a file to be looked at."""
LENGTH = HEAD_BYTES // 2
SLOWEST_S = 0.5
"""Of processor time, which other programs do not use up; each takes milliseconds."""


def look_at(file: str, content: str) -> None:
    """Look at a file in each way."""
    heads = {BESIDE.get(file, file): "", file: content}
    seen = Facts(name="shop", files=frozenset(heads), heads=heads)
    detect.detect(seen)
    foreign.commands(seen)
    files.pm2(seen)
    code.computed(seen, file)


@pytest.mark.parametrize("file", NAMES)
@pytest.mark.parametrize(
    "units",
    [
        pytest.param(UNITS[:2], id="blanks"),
        pytest.param(UNITS[2:], id="others", marks=pytest.mark.soak),
    ],
)
def test_a_long_file_costs_as_much_as_it_is_long(
    file: str, units: tuple[str, ...]
) -> None:
    """Each beginning repeated, and before a long run of one kind."""
    contents = [begin * (LENGTH // len(begin)) for begin in BEGINS if begin]
    contents += [
        begin + unit * (LENGTH // len(unit)) for begin in BEGINS for unit in units
    ]
    for content in contents:
        begin = time.process_time()
        look_at(file, content)
        assert time.process_time() - begin < SLOWEST_S, content[:40]
