"""Command lines of PM2: what they are about, and what their options set."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import MisuseError
from gapless.cli import app_options
from gapless.cli.pm2 import inspected, instead, options, verbs, words
from gapless.config.pm2 import fields

PAGE = Path(__file__).parents[3] / "docs" / "pm2.md"
CASES: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = [
    # command line, verb, what it is about, what options set
    ("list --sort=name", "list", (), {"sort": "name"}),
    ("logs --format web", "logs", ("web",), {"as_pairs": True}),
    ("serve . 80 --spa --name x", "serve", (".", "80"), {"spa": True, "name": "x"}),
    ("--parallel=2 reload all", "reload", ("all",), {}),
    ("-s start a.js", "start", ("a.js",), {}),
    ("start a.js b.js", "start", ("a.js", "b.js"), {}),
    ("start --name=x a.js", "start", ("a.js",), {"name": "x"}),
    ("start a.js -n x -i max", "start", ("a.js",), {"name": "x", "instances": "max"}),
    ("start a.js -i -1", "start", ("a.js",), {"instances": "-1"}),
    ("start a.js -i4", "start", ("a.js",), {"instances": "4"}),
    ("start -fs a.js", "start", ("a.js",), {"force": True}),
    (
        "start --ignore-watch node_modules a.js",
        "start",
        ("a.js",),
        {"ignore_watch": ["node_modules"]},
    ),
    (
        "start --ignore-watch x --ignore-watch y,z a.js",
        "start",
        ("a.js",),
        {"ignore_watch": ["x", "y", "z"]},
    ),
    (
        "start --stop-exit-codes 3 a.js",
        "start",
        ("a.js",),
        {"stop_exit_codes": ["3"]},
    ),
    (
        "start --stop-exit-codes 3 4 a.js",
        "start",
        ("a.js",),
        {"stop_exit_codes": ["3", "4"]},
    ),
    ("start --watch a.js", "start", ("a.js",), {"watch": True}),
    ("start a.js --watch src", "start", ("a.js",), {"watch": ["src"]}),
    ("start a.js --watch --time", "start", ("a.js",), {"watch": True, "time": True}),
    ("restart a --node-args=null", "restart", ("a",), {"node_args": None}),
    ("restart a --watch false", "restart", ("a",), {"watch": False}),
    ("start a.js -x -w --ext js --v8", "start", ("a.js",), {}),
    ("start a.js --trace --deep-monitoring", "start", ("a.js",), {}),
    (
        "start a.js --node-args --inspect",
        "start",
        ("a.js",),
        {"node_args": "--inspect"},
    ),
    ("start a.js --no-autorestart", "start", ("a.js",), {"autorestart": False}),
    ("logs --json --err --highlight web", "logs", ("web",), {"json": True}),
    ("logs web --highlight word", "logs", ("web",), {"highlight": "word"}),
    ("logs web --lines 20", "logs", ("web",), {"lines": "20"}),
    ("delete app.json --only a", "delete", ("app.json",), {"only": "a"}),
    ("startup systemd -u U --hp /home/U", "startup", ("systemd",), {"home": "/home/U"}),
    ("start -", "start", ("-",), {}),
]


@pytest.mark.parametrize(("line", "verb", "about", "given"), CASES)
def test_a_command_line_means(
    line: str, verb: str, about: tuple[str, ...], given: dict[str, Any]
) -> None:
    """No option swallows what the command is about."""
    found = words.parse(line.split())
    assert (found.verb, found.about) == (verb, about)
    assert given.items() <= found.given.items()
    if "--" not in line:
        assert found.rest is None


def test_what_is_behind_two_dashes_is_for_the_app() -> None:
    """Options of the app are none of ours."""
    found = words.parse(["start", "a.js", "--", "--name", "-x", "--", "y"])
    assert found.rest == ("--name", "-x", "--", "y")
    assert found.given == {}


@pytest.mark.parametrize("line", ["start a.js --nmae x", "start a.js -n", "start -Z"])
def test_an_option_that_pm2_has_not_is_refused(line: str) -> None:
    """It is named; nothing is guessed."""
    with pytest.raises(MisuseError):
        words.parse(line.split())


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("app.json --env production", ("app.json",)),
        ("start app.json -i max", ("app.json",)),
        ("--json app.js --auto-exit", ("app.js",)),
        ("", ()),
    ],
)
def test_pm2_runtime_starts_in_the_foreground(
    line: str, about: tuple[str, ...]
) -> None:
    """Its verb may be missing; other verbs are as they are."""
    found = words.in_foreground(words.parse(line.split()), {"list", "start"})
    assert (found.verb, found.about) == ("start", about)
    assert found.given["foreground"] is True
    listed = words.parse(["list"])
    assert words.in_foreground(listed, {"list", "start"}) == listed


def test_every_verb_of_the_page_is_answered() -> None:
    """docs/pm2.md names no verb that `pm2` does not know, and all that do their work."""
    table = PAGE.read_text().partition("## Commands")[2].partition("\n\nAPP is")[0]
    named = {
        word
        for row in table.splitlines()
        if row.startswith("| `")
        for text in re.findall(r"`([^`]+)`", row.split("|")[1])
        for word in text.split()[:1]
        if not word.startswith("-")
    }
    assert named - {"pm2-runtime"} <= verbs.VERBS.keys()
    doing = {verb for verb in verbs.VERBS if verb not in instead.verbs()}
    aliases = {"ls", "l", "ps", "status", "desc", "info", "show", "del", "config"}
    aliases |= {"ecosystem", "dump", "expose", "update", "updatePM2"}
    aliases |= {"startOrRestart", "startOrGracefulReload", "reloadLogs"}
    assert doing - aliases <= named


def test_every_option_of_an_app_is_a_field() -> None:
    """Of a declaration, and of `gapless start`."""
    known = {*app_options._VALUES, *app_options._LISTS, *app_options._FLAGS}
    known |= {*app_options._DENIALS, "watch"}
    assert {*fields.BY_NAME} >= options.FIELDS
    assert known >= options.FIELDS


def test_what_is_inspected_is_what_node_reads() -> None:
    """The text is an expression of JavaScript with the same value."""
    value: dict[str, Any] = {
        "name": "it's",
        "a-b": [1, True, None, False, 0, 1.5],
        "both": 'it\'s "so"',
        "all": "'\"`\\\n\x1b\x7f",
        "deep": [{"x": []}, {}],
        "long": ["word" * 5] * 9,
    }
    script = "process.stdout.write(JSON.stringify(eval('(' + process.argv[1] + ')')))"
    done = subprocess.run(
        ["node", "-e", script, inspected.text(value)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == value
    assert '\n  name: "it\'s",\n' in inspected.text(value)
