"""Each shell completes verbs, options, choices, files and the apps that run now."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Callable

import pytest

from rig.hosts.host import GAPLESS, Host
from rig.wait import until

SLEEP = '[app.{name}]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.1\n'
Shows = Callable[[str, set[str]], None]
"""Waits until a shell completes a line to some words."""
LINES = {
    "gapless rel": {"reload", "releases"},
    "gapless reload sh": {"shop", "shelf"},
    "gapless start sh": {"shop", "shelf", "shared.tar.gz"},
    "gapless rollout ": {"status", "hold", "abort"},
    "gapless restart --": {"--json", "--update-env"},
    "gapless startup --unit ": {"supervise", "agent", "watch"},
}


@pytest.fixture
def apps(host: Host) -> Host:
    """Return a host with two apps and a file, where `gapless` is in PATH."""
    host.configure("".join(SLEEP.format(name=name) for name in ("shop", "shelf")))
    host.ok("start", "gapless.toml")
    (host.directory / "shared.tar.gz").write_text("")
    host.environment["PATH"] = f"{GAPLESS.parent}:{host.environment['PATH']}"
    return host


def run(host: Host, *words: str) -> str:
    """Run a shell; return what it printed."""
    done = subprocess.run(
        words,
        env=host.environment,
        cwd=host.directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def bash(host: Host) -> Shows:
    """Return what asks bash: by the function that it calls."""
    (host.directory / "complete.bash").write_text(run(host, "gapless", "completion"))
    script = (
        "source ./complete.bash; IFS=' ' read -ra COMP_WORDS <<<\"$1\"; "
        '[[ $1 == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '_gapless; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def shows(line: str, words: set[str]) -> None:
        asked = ("bash", "-c", script, "bash", line)
        until(lambda: words <= {*run(host, *asked).splitlines()}, f"bash: {line}")

    return shows


def fish(host: Host) -> Shows:
    """Return what asks fish: by its own `complete -C`."""
    script = run(host, "gapless", "completion", "fish")
    (host.directory / "complete.fish").write_text(script)
    ask = "source complete.fish; complete -C $argv[1]"

    def shows(line: str, words: set[str]) -> None:
        def completed() -> bool:
            found = run(host, "fish", "--no-config", "-c", ask, line)
            return words <= {each.partition("\t")[0] for each in found.splitlines()}

        until(completed, f"fish: {line}")

    return shows


def zsh(host: Host) -> Shows:
    """Return what asks zsh: on a terminal, where alone it completes."""
    script = run(host, "gapless", "completion", "zsh")
    (host.directory / "complete.zsh").write_text(script)
    set_up = (
        "PS1='%% '; autoload -U compinit; compinit -u -D; source ./complete.zsh; "
        "setopt nobeep; LISTMAX=1000\n"
    )

    def shows(line: str, words: set[str]) -> None:
        own, others = pty.openpty()
        process = subprocess.Popen(
            ["zsh", "-f", "-i"],
            env=host.environment | {"TERM": "dumb", "COLUMNS": "200"},
            cwd=host.directory,
            stdin=others,
            stdout=others,
            stderr=others,
            start_new_session=True,
        )
        os.close(others)
        try:
            # What is typed is shown, so the word that is waited for is typed in pieces.
            type_keys(own, f"{set_up}print set''up\n", {"setup"})
            type_keys(own, f"{line}\t\t", words)
        finally:
            process.kill()
            process.wait()
            os.close(own)

    return shows


def type_keys(own: int, keys: str, words: set[str]) -> None:
    """Type keys, and wait until all words are shown."""
    os.write(own, keys.encode())
    shown = ""
    while not words <= {*re.findall(r"[\w./-]+", shown)}:
        assert select.select([own], [], [], 60)[0], (words, shown)
        shown += os.read(own, 65536).decode(errors="replace")


def test_bash_completes(apps: Host) -> None:
    """Verbs, and what runs beside what lies there."""
    shows = bash(apps)
    for line in ("gapless rel", "gapless start sh"):
        shows(line, LINES[line])


@pytest.mark.soak
@pytest.mark.parametrize("shell", [bash, fish, zsh])
def test_a_shell_completes(apps: Host, shell: Callable[[Host], Shows]) -> None:
    """All kinds of words: verbs, apps, files, options, choices and their values."""
    shows = shell(apps)
    for line, words in LINES.items():
        shows(line, words)
