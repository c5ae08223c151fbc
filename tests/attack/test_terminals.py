"""Terminals: nothing from outside steers one, in any command; through a real pty."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.base.outside.text import printable
from gapless.cli import output
from gapless.cli.followed_log import FollowedLog
from gapless.cli.terminal import outlet
from gapless.cli.terminal.log_text import LogText, visible
from rig.hosts.host import GAPLESS, Host
from rig.wait import until

TITLE = "\x1b]0;pwned\x07"
CONTROL = re.compile(
    rb"\x1b|[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]"
)
"""What a terminal may act on; newlines and tabs are what all text has."""
SGR = re.compile(rb"\x1b\[[0-9;:]*m")
ARGUMENTS = [
    "\x1b[2J",
    TITLE,
    "a\rb",
    "\x9b31m",
    "\u202eevil",
    "a\x7f",
    "a\x08b",
    "\udc9b",
]


def on_a_terminal(
    *words: str, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> bytes:
    """Run a command whose output and error output are a terminal; return what it got."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [os.fsencode(each) for each in (str(GAPLESS), *words)],
        stdin=side,
        stdout=side,
        stderr=side,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
        start_new_session=True,
    )
    os.close(side)
    got = b""
    try:
        while select.select([main], [], [], 60)[0]:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break  # the other side was closed
            got += piece
            if not piece:
                break
    finally:
        os.close(main)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
    return got.replace(
        b"\r\n", b"\n"
    )  # what the terminal's own driver makes of a newline


def assert_quiet(got: bytes) -> None:
    """Fail if a terminal would have acted on anything but our own colours."""
    found = CONTROL.search(SGR.sub(b"", got))
    assert found is None, (found, got)


def test_words_of_a_command_line_come_back_escaped(tmp_path: Path) -> None:
    """In errors of verbs, in those of argparse, and where there is no such verb."""
    home = {"GAPLESS_HOME": str(tmp_path / "home")}
    nasty = "".join(ARGUMENTS)
    for words in (
        (nasty,),
        ("list", f"--{nasty}"),
        ("start", f"{tmp_path}/{nasty}"),
        ("pm2", nasty),
    ):
        got = on_a_terminal(*words, environment=home)
        assert b"\\x1b" in got, (words, got)
        assert_quiet(got)


def test_a_file_that_is_wrong_is_shown_escaped(tmp_path: Path) -> None:
    """Of a gapless.toml, of PM2's JSON, and of a JavaScript file that prints."""
    home = {"GAPLESS_HOME": str(tmp_path / "home")}
    (tmp_path / "gapless.toml").write_text('[app.a]\n"k\\u001b[2J" = 1\n')
    (tmp_path / "app.json").write_text('{"apps": [{"name": "\x1b[2J", x]}')
    for name in ("gapless.toml", "app.json"):
        got = on_a_terminal("check", name, environment=home, cwd=tmp_path)
        assert got
        assert_quiet(got)


def test_a_traceback_is_escaped() -> None:
    """A fault of our own may quote anything."""
    code = (
        "import sys; from gapless.cli.terminal import outlet; "
        "outlet.install(is_data=False); raise ValueError('a\\x1b[2Jb')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "ValueError: a\\x1b[2Jb" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_app_cannot_steer_the_terminal_of_who_looks_at_it(host: Host) -> None:
    """Its log, its environment and its last words; by gapless's words and by PM2's."""
    log = b"\x1b[31mred\x1b[0m \x1b[8mhidden\x1b[2J\x1b]0;pwned\x07 a\rb \xc2\x9b5n\n"
    app = host.directory / "noisy.sh"
    app.write_text(f"#!/bin/sh\nprintf '{_octal(log)}'\nexec sleep 1000\n")
    app.chmod(0o755)
    host.ok("start", str(app), environment={"COLOUR": f"x{TITLE}"})
    path = Path(host.json("describe", "noisy")["logs"][0])
    _until(lambda: b"pwned" in path.read_bytes())
    environment = {**host.environment, "GAPLESS_HOME": str(host.home)}
    for way in (["logs"], ["pm2", "logs", "--nostream", "--raw"]):
        got = on_a_terminal(*way, environment=environment)
        assert b"\x1b[31mred\x1b[0m hidden\\x1b[2J" in got, got
        assert_quiet(got)
    assert log.rstrip() in on_a_terminal("logs", "--raw", environment=environment)
    piped = subprocess.run(
        [GAPLESS, "logs"], env=environment, capture_output=True, check=True
    )
    assert log in piped.stdout
    for way in (["env", "noisy"], ["describe", "noisy"]):
        got = on_a_terminal(*way, environment=environment)
        assert b"COLOUR" in got or b"noisy" in got
        assert_quiet(got)
    assert f"COLOUR=x{TITLE}\n" in host.ok("env", "noisy")


def _octal(content: bytes) -> str:
    return "".join(f"\\{each:03o}" for each in content)


def _until(is_true: Callable[[], bool]) -> None:
    until(is_true, "the log")


# --- text for people ----------------------------------------------------------------------


def _written(text: str, *, is_data: bool = False, is_terminal: bool = True) -> str:
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]  # of this one
    outlet.Outlet(stream, is_data=is_data).write(text)
    return stream.getvalue()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_text_for_people_has_no_control_character_wherever_it_goes(text: str) -> None:
    """A pipe may end in a terminal: `ssh host gapless list`."""
    for is_terminal in (True, False):
        found = _written(text, is_terminal=is_terminal)
        assert all(each.isprintable() or each in "\n\t" for each in found)
    assert _written(text, is_data=True, is_terminal=False) == text
    assert _written(text, is_data=True) == printable(text, kept="\n\t")


def test_only_who_knows_the_word_puts_a_colour_in() -> None:
    """What looks like a mark, and has not our word in it, is shown as it is."""
    own = f"{outlet.mark('red')}a\x1b{outlet.mark('plain')}"
    assert _written(own) == "\x1b[31ma\\x1b\x1b[0m"
    forged = own.replace(outlet._SECRET, "0" * 32)
    assert "\x1b" not in _written(forged)
    assert len(outlet._SECRET) == 32


def test_json_is_the_same_value_and_can_be_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """DEL, C1 and what turns the direction of text are escaped as JSON has it."""
    value = {"a\x7f": "\x9b\u202e\x1b é \U0001f600 \U000e0001", "b": ["\udc80", 1.5]}
    output.print_json(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert said.endswith("\n")
    assert said[:-1].isprintable()
    assert "é" in said or "\\u00e9" in said


# --- logs ---------------------------------------------------------------------------------

_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                b"\x1b",
                b"[",
                b"31",
                b";",
                b"m",
                b"\x1b[8m",
                b"\x1b[38;5;8m",
                b"\r",
                b"\n",
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(_PIECES)
def test_any_log_is_text_and_colours(pieces: list[bytes]) -> None:
    """However it is cut: no sequence but SGR, none that hides, none that goes on."""
    text = LogText()
    shown = b"".join(text.shown(each) for each in pieces)
    for line in shown.split(b"\n"):
        assert CONTROL.search(SGR.sub(b"", line)) is None
        renditions = SGR.findall(line)
        assert b"\x1b[8m" not in renditions
        assert not renditions or renditions[-1] == b"\x1b[0m"


@pytest.mark.soak
@settings(max_examples=100_000, deadline=None)
@given(_PIECES)
def test_any_log_for_long(pieces: list[bytes]) -> None:
    """The same, with many more of them."""
    test_any_log_is_text_and_colours.hypothesis.inner_test(pieces)  # type: ignore[attr-defined]  # what hypothesis has wrapped


@pytest.mark.parametrize(
    ("parameters", "kept"),
    [
        ("", ""),
        ("0", "0"),
        ("31", "31"),
        ("1;31", "1;31"),
        ("8", None),
        ("08", None),
        ("31;8", "31"),
        ("8;1", "1"),
        ("8:1", None),
        ("38;5;8", "38;5;8"),
        ("38;2;8;8;8", "38;2;8;8;8"),
        ("38;2;8", None),
        ("38;8", None),
        ("1;48;5", "1"),
        ("38:5:8", "38:5:8"),
        ("038;05;8;8", "38;5;8"),
    ],
)
def test_no_colour_hides_text(parameters: str, kept: str | None) -> None:
    """The 8 of a colour is none that hides."""
    assert visible(parameters) == kept


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (b"\x1b[31mred\nnext\n", b"\x1b[31mred\x1b[0m\nnext\n"),
        (b"\x1b[31mred", b"\x1b[31mred\x1b[0m"),
        (b"a\r\nb\rc\n", b"a\nb\\rc\n"),
        (b"\x1b[2J\x1b[6n\x1bc", b"\\x1b[2J\\x1b[6n\\x1bc"),
        (b"\x1b[" + b"1" * 70 + b"m", b"\\x1b[" + b"1" * 70 + b"m"),
        ("naïve \u2713\n".encode(), "naïve \u2713\n".encode()),
        (b"\xff\xc2\x9b", b"\\udcff\\x9b"),
        (b"\x1b[?25l", b"\\x1b[?25l"),
    ],
)
def test_colours_of_a_log_end_with_its_line(log: bytes, shown: bytes) -> None:
    """All else is shown escaped, also if it comes byte by byte."""
    assert LogText().shown(log) == shown
    slowly = LogText()
    got = b"".join(slowly.shown(log[n : n + 1]) for n in range(len(log)))
    assert SGR.sub(b"", got) == SGR.sub(b"", shown)


def test_a_pipe_gets_the_bytes_of_a_log(tmp_path: Path) -> None:
    """Only a terminal is protected: a file is to have what the app wrote."""
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[2J\xff\n")
    out = io.BytesIO()
    log = FollowedLog(str(path), out)
    log.print_last(10)
    log.close()
    assert out.getvalue() == b"\x1b[2J\xff\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_an_app_put_in_the_place_of_its_log_keeps_no_command_waiting(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A FIFO that nobody writes to is opened when somebody does: never, perhaps."""
    make(tmp_path / "log")
    out = io.BytesIO()
    log = FollowedLog(str(tmp_path / "log"), out)
    log.print_last(10)
    assert not log.print_new()
    log.close()
    assert out.getvalue() == b""
