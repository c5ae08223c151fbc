"""What `gapless init` says is to be done next, where its file alone starts no app."""

from __future__ import annotations

import pytest

from gapless.config.detect import detect, foreign
from gapless.config.detect.facts import Facts

FLASK = "from flask import Flask\napp = Flask(__name__)\n"


def facts(content: dict[str, str]) -> Facts:
    """Return a directory with these files."""
    return Facts(name="shop", files=frozenset(content), heads=content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "gunicorn"),
        ({"requirements.txt": "flask\n"}, "-r requirements.txt gunicorn"),
        ({"requirements.txt": "flask\ngunicorn\n"}, "-r requirements.txt"),
        ({"pyproject.toml": 'dependencies = ["flask", "gunicorn"]'}, "."),
        ({"pyproject.toml": 'dependencies = ["flask"]'}, ". gunicorn"),
    ],
)
def test_what_comes_first_installs_the_server_too(
    content: dict[str, str], expected: str
) -> None:
    """The command that is written starts by it."""
    found = detect.detect(facts({"app.py": FLASK, **content}))
    assert found is not None
    install = f".venv/bin/pip install {expected}"
    assert found.first == ("python3 -m venv .venv", install)


def test_programs_of_go_below_cmd_are_built_where_they_are() -> None:
    """`go build .` fails there; the others are named."""
    content = {
        "go.mod": "module x.org/shop\n",
        "cmd/shop/a.go": "",
        "cmd/load/b.go": "",
    }
    found = detect.detect(facts(content))
    assert found is not None
    assert found.first == ("go build -o shop ./cmd/shop",)
    assert found.remarks == ("Also below cmd/: load",)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        (
            "shop.service",
            "[Service]\nUser=a\nExecStart=-/usr/bin/node /srv/a.js\n",
            "shop.service has ExecStart: /usr/bin/node /srv/a.js (docs/howto/from-",
        ),
        (
            "supervisord.conf",
            "[program:shop]\nnumprocs=2\ncommand=python3 app.py\n",
            "supervisord.conf has command: python3 app.py (",
        ),
        ("Dockerfile", 'FROM x\nCMD ["node", "a.js"]\n', 'has CMD: ["node", "a.js"] ('),
        (
            "supervisord.conf",
            "[program:shop]\n" + "\n" * 40 + "[unix_http_server]\ncommand=x\n",
            "supervisord.conf has no command that could be read here",
        ),
        (
            "supervisord.conf",
            "[program:shop]\n\n\ncommand = env PASSWORD=hunter2 python app.py\n",
            "has command: env PASSWORD=*** python app.py (",
        ),
        (
            "shop.service",
            "ExecStart = /srv/shop --password=hunter2 --url http://a:b@c/\n",
            "has ExecStart: /srv/shop --password=*** --url http://a:***@c/ (",
        ),
        (
            "Dockerfile",
            'FROM x\ncmd ["shop", "--token", "hunter2"]\n',
            'has CMD: ["shop", "--token", "***"] (',
        ),
        ("Dockerfile", "FROM x\nCMD\nUSER a\n", "Dockerfile has no CMD that could"),
        ("Dockerfile", "FROM x\n", "Dockerfile has no CMD that could be read here"),
        ("compose.yaml", "services: {}\n", "compose.yaml starts containers"),
    ],
)
def test_files_of_other_programs_are_named(
    file: str, content: str, expected: str
) -> None:
    """Nothing is made of them, but the command is there to be copied."""
    seen = facts({file: content})
    assert detect.detect(seen) is None
    (said,) = foreign.commands(seen)
    assert expected in said
