"""The units of systemd: names and paths are no syntax, and each has what it needs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.base.errors import MisuseError, UnavailableError
from gapless.cli.units import escaping, texts
from gapless.client import Client
from rig.hosts.host import GAPLESS

NASTY = [
    "/a\nExecStartPre=/bin/evil",
    "/a\r",
    "/a\0b",
    "/a\x1b[2J",
    "/a\u2028b",
    "/\udcff",
    "",
]
ODD = '/srv/a b/"q"/back\\slash/100%n/$HOME/it\'s/;x'
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def unit_of(**how: str) -> texts.UnitOf:
    """Return whose unit it is."""
    fields = {
        "user": "root",
        "home": "/srv/g",
        "path": "/usr/bin",
        "command": str(GAPLESS),
    }
    return texts.UnitOf(**{**fields, **how})


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("where", ["user", "home", "path", "command"])
def test_no_value_begins_another_line(where: str, text: str) -> None:
    """It is refused by name: no line of a unit can hold it."""
    if where in ("home", "path") and not text:
        return  # Environment=GAPLESS_HOME= is a line, and neither comes to be empty
    with pytest.raises(MisuseError):
        texts.supervisor(unit_of(**{where: text}))


@pytest.mark.parametrize("text", [*NASTY[:-1], "x\ny"])
def test_nor_does_one_of_the_agent(text: str) -> None:
    """The configuration and the directories that it names."""
    for how in ({"config": text, "writes": ["/a"]}, {"config": "/a", "writes": [text]}):
        for kind in (texts.agent, texts.watch):
            with pytest.raises(MisuseError):
                kind(unit_of(), after="gapless-root.service", **how)  # type: ignore[arg-type]  # by name


def _unquoted(word: str) -> str:
    """Read a word as systemd.syntax(7) has it, and specifiers as systemd.unit(5) has."""
    if word.startswith('"'):
        assert word.endswith('"')
        word, escaped = word[1:-1], ""
        rest = iter(word)
        for each in rest:
            assert each != '"'
            escaped += next(rest) if each == "\\" else each
        word = escaped
    pieces = word.split("%%")
    assert not any("%" in each for each in pieces)
    return "%".join(pieces)


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_every_text_is_one_word_or_is_refused(text: str) -> None:
    """What systemd reads is the text, whatever it has."""
    try:
        assert _unquoted(escaping.word(text, "it")) == text
        argument = _unquoted(escaping.argument(text, "it"))
        assert argument.replace("$$", "").count("$") == 0
        assert argument.replace("$$", "$") == text
    except MisuseError:
        assert not text.isprintable()
    name = escaping.unit_name(text)
    assert set(name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-\\"
    )


def _verify(unit: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words, str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{unit.parent}:"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_analyze
def test_systemd_itself_takes_the_units(
    tmp_path: Path,
) -> None:
    """`systemd-analyze verify` complains about nothing, however odd the paths are."""
    of = unit_of(home=ODD, path=f"/usr/bin:{ODD}")
    after = "gapless-root.service"
    units = {
        after: texts.supervisor(of, low_ports=True),
        "gapless-agent-root.service": texts.agent(
            of, config=f"{ODD}/g.toml", writes=[ODD, "/srv/x"], after=after
        ),
        "gapless-watch-root.service": texts.watch(
            of, config=f"{ODD}/g.toml", writes=[ODD, "/srv/x"], after=after
        ),
    }
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    said = _verify(
        tmp_path / after, "verify", *(str(tmp_path / n) for n in [*units][1:])
    )
    assert "gapless-" not in said, said


@needs_analyze
def test_an_agent_and_a_publisher_are_in_a_sandbox(tmp_path: Path) -> None:
    """`systemd-analyze security`, in tenths: 96 is none, and lower is tighter."""
    after = "gapless-x.service"
    kinds = {"agent": (texts.agent, 60), "watch": (texts.watch, 70)}
    for name, (kind, most) in kinds.items():
        unit = tmp_path / f"{name}.service"
        unit.write_text(
            kind(unit_of(user="nobody"), config="/etc/g", writes=["/srv"], after=after)
        )
        threshold = f"--threshold={most}"
        _verify(unit, "security", "--offline=true", threshold)


def test_the_unit_of_the_apps_takes_nothing_that_they_need() -> None:
    """No mount namespace, and nothing that implies no_new_privs: both reach every app."""
    lines = texts.supervisor(unit_of()).splitlines()
    keys = {line.partition("=")[0] for line in lines if "=" in line}
    assert not {
        key for key in keys if key.startswith(("Protect", "Private", "Restrict"))
    } - {"RestartPreventExitStatus"}
    assert not keys & {
        "NoNewPrivileges",
        "SystemCallFilter",
        "LockPersonality",
        "UMask",
    }
    (bounds,) = (each for each in lines if each.startswith("CapabilityBoundingSet="))
    assert bounds.startswith("CapabilityBoundingSet=~")
    for needed in (
        "CAP_SYS_ADMIN",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETUID",
        "CAP_SYS_PTRACE",
    ):
        assert needed not in bounds
    own = texts.supervisor(unit_of(), in_user_manager=True)
    assert "User=" not in own
    assert "CapabilityBoundingSet" not in own
    assert "WantedBy=default.target" in own


def test_what_is_in_a_sandbox_starts_no_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The apps would be in it as well; it waits for the one that the unit starts."""
    monkeypatch.setenv("GAPLESS_STARTS", "no")
    monkeypatch.setattr("gapless.client.START_S", 0.0)
    with pytest.raises(UnavailableError, match="GAPLESS_STARTS=no"):
        Client(str(tmp_path / "home")).request("list")
    assert not (tmp_path / "home").exists()


def test_startup_writes_the_unit_of_an_agent(tmp_path: Path) -> None:
    """It may write the directories that the configuration names, and its home."""
    config = tmp_path / "gapless.toml"
    config.write_text(f'[release.a]\nbase = "{tmp_path}/b"\n[rollout.a]\n')
    user = pwd.getpwuid(os.geteuid()).pw_name
    unit = tmp_path / f"image/etc/systemd/system/gapless-agent-{user}.service"
    unit.parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("kept")
    unit.symlink_to(tmp_path / "victim")
    words = ["startup", "--unit", "agent", "-c", str(config), "--home", f"{tmp_path}/h"]
    done = subprocess.run(
        [GAPLESS, *words, "--root", str(tmp_path / "image")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert unit.exists(), done.stderr
    assert (tmp_path / "victim").read_text() == "kept"
    lines = unit.read_text().splitlines()
    assert f"ReadWritePaths=-{tmp_path}/b -{tmp_path}/b/fleet -{tmp_path}/h" in lines
    assert f"ExecStart={GAPLESS} agent -c {config}" in lines
