"""Words from outside that reach other programs: none of them is an option or a command."""

from __future__ import annotations

import ast
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless
from gapless.base.errors import GaplessError, MisuseError
from gapless.push import destination
from gapless.push.ssh_transport import SshTransport
from gapless.push.upload import Upload
from rig.hosts.host import GAPLESS

REFUSED_DESTINATIONS = [
    "[-oProxyCommand=touch pwned]:x",
    "u@[-oProxyCommand=x]:x",
    "-l@host:x",
    "[-F]:x",
    "ssh://[-oProxyCommand=x]/x",
    "ssh://-u@host/x",
    "ssh://host:+1/x",
    "ssh://host:٢٢/x",
    f"ssh://host:{'9' * 5000}/x",
    "ssh://host:0/x",
    "host\n-oProxyCommand=x:/x",
    "host:/x\n/y",
    "host:/x\x1b[2J",
    "/mnt/\x1b]0;x\x07",
    "ho$(touch pwned)st:/x",
    "u;id@host:/x",
    "u`id`@host:/x",
    "host name:/x",
    "u\\@host:/x",
    "~@host:/x",
]


@pytest.mark.parametrize("text", REFUSED_DESTINATIONS)
def test_no_destination_is_an_option_or_a_command_of_ssh(text: str) -> None:
    """Nor does it hold what a terminal or a shell would act on."""
    with pytest.raises(MisuseError):
        destination.parse(text)


@pytest.mark.parametrize("text", ["-x", "[::1]:-x", "host:--", "DOMAIN\\user@host:/x"])
def test_what_is_only_unusual_is_taken(text: str) -> None:
    """A path may begin with a dash; a user of a domain has a backslash."""
    found = destination.parse(text)
    assert not found.host.startswith("-")
    assert not found.host or not found.path.startswith("-")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(
                ["ssh://", "-o", "[", "]", "@", ":", "/", "~", "host", "2"]
            ),
        ),
        max_size=8,
    ).map("".join)
)
def test_any_text_is_a_safe_destination_or_a_misuse(text: str) -> None:
    """No other exception; what is taken is shown and means the same again."""
    try:
        found = destination.parse(text)
    except MisuseError:
        return
    user, _, name = found.host.rpartition("@")
    assert not user.startswith("-")
    assert not name.startswith("-")
    assert not found.host or not found.path.startswith("-")
    assert str(found).isprintable()
    if found.host:
        assert destination.parse(str(found)) == found


def test_the_host_comes_after_two_dashes(tmp_path: Path) -> None:
    """What comes after them is no option for getopt(3), whatever it is."""
    said, fake = tmp_path / "said", tmp_path / "ssh"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\nexit 255\n')
    fake.chmod(0o755)
    to = destination.Destination(path="/x", host="-oProxyCommand=x")
    upload = Upload.of("a.tar.gz", io.BytesIO(b"x"))
    with pytest.raises(GaplessError):
        SshTransport(to, str(fake)).send(upload, lambda _: None)
    words = said.read_text().splitlines()
    assert words[words.index("--") + 1] == "-oProxyCommand=x"


STARTS_PROGRAMS = {
    "client.py": "Python itself, with the supervisor's module",
    "cli/upgrade/earlier.py": "Python itself, with the supervisor's module",
    "supervisor/upgrade/replacement.py": "the command of a client of the same user",
    "config/pm2/files.py": "node -e with an absolute path after the program text",
    "releases/steps/commands.py": "the words of the configuration, as they are",
    "cli/verbs/machine/startup.py": "systemctl, names after --",
    "cli/verbs/machine/shutdown.py": "systemctl, names after --",
    "rehearsal/other_ways.py": "pm2 with words of ours, and the name of an app",
    "push/ssh_transport.py": "ssh, the destination after --",
    "releases/unpacking/process.py": "Python itself, with numbers",
    "push/signing/keys.py": "git and ssh-add with words that are fixed",
    "keeper/guardian/program.py": "Python itself, with words of ours; a renewal's command"
    " is the supervisor's",
    "notify/programs.py": "the words of the configuration; addresses after --",
    "releases/signing/ssh_keygen.py": "files as values of options, principals checked",
}
"""Each module that starts a program, and why no text from outside is an option of it."""


def test_every_module_that_starts_a_program_says_why_no_text_is_an_option() -> None:
    """Whoever adds one has to say so here; words for a fixed program come after --."""
    root = Path(gapless.__file__).parent
    found: dict[str, list[ast.Call]] = {}
    for path in root.rglob("*.py"):
        text = path.read_text()
        if not any(each in text for each in _STARTERS):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _name(node.func) in _STARTERS:
                found.setdefault(str(path.relative_to(root)), []).append(node)
    unknown = {
        name: [ast.unparse(call)[:80] for call in calls]
        for name, calls in found.items()
        if name not in STARTS_PROGRAMS and not all(map(_has_dashes, calls))
    }
    assert not unknown


_STARTERS = {
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call"),
    *("subprocess.check_output", "os.system", "os.popen", "os.posix_spawn"),
}


def _name(function: ast.expr) -> str:
    return ast.unparse(function)


def _has_dashes(call: ast.Call) -> bool:
    """Return whether the program and all its words are written there, or come after --."""
    if not call.args or not isinstance(call.args[0], ast.List):
        return False
    words = call.args[0].elts
    constants = [isinstance(each, ast.Constant) for each in words]
    dashes = [isinstance(w, ast.Constant) and w.value == "--" for w in words]
    return all(constants) or (True in dashes and all(constants[: dashes.index(True)]))


def test_ssh_itself_runs_no_command_from_a_destination(tmp_path: Path) -> None:
    """The real one: the word was an option for it before destinations were checked."""
    pwned = tmp_path / "pwned"
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a").touch()
    (tmp_path / "gapless.toml").write_text(
        '[release.app]\nbase = "x"\npush = "[-oProxyCommand=touch pwned]:x"\n'
    )
    done = subprocess.run(
        [GAPLESS, "push", "app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 2
    assert "names no host" in done.stderr
    assert not pwned.exists()
