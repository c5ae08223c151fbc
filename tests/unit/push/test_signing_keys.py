"""Which key `gapless push --sign` signs with: one that people have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gapless.base.errors import GaplessError, NotFoundError
from gapless.push.signing import keys, signatures
from gapless.releases.signing import ssh_keygen
from gapless.releases.signing.statements import UPLOAD_NAMESPACE
from rig import wait
from rig.programs.ssh_keys import SshKeys

FORMAT = ("git", "config", "--get", "gpg.format")
KEY = ("git", "config", "--get", "user.signingkey")
AGENT = ("ssh-add", "-L")


def find(given: str, home: Path, **answers: str) -> keys.SigningKey:
    """Find a key where commands answer so."""
    words = {"format": FORMAT, "key": KEY, "agent": AGENT}
    by_words = {words[name]: answer for name, answer in answers.items()}
    return keys.find(given, str(home), lambda each: by_words.get(each, ""))


def test_the_first_key_that_there_is_signs(tmp_path: Path) -> None:
    """Named, git's if git signs by ssh, of ~/.ssh, of the agent; else it is said."""
    with pytest.raises(NotFoundError, match="no key to sign with"):
        find("", tmp_path, format="openpgp", key="ABCDEF")
    agent = "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two"
    assert find("", tmp_path, agent=agent).public == "ssh-ed25519 AAAA one"
    own = tmp_path / ".ssh" / "id_rsa"
    own.parent.mkdir()
    own.touch()
    assert find("", tmp_path, agent=agent).path == str(own)
    (tmp_path / ".ssh" / "id_ed25519").touch()
    assert find("", tmp_path, agent=agent).source == "~/.ssh/id_ed25519"
    for literal in ("ssh-ed25519 CCCC", "key::ssh-ed25519 CCCC"):
        found = find("", tmp_path, format="ssh", key=literal)
        assert found.public == "ssh-ed25519 CCCC"
    other = tmp_path / "other"
    other.touch()
    assert find("", tmp_path, format="ssh", key=str(other)).path == str(other)
    assert find(str(other), tmp_path, agent=agent).path == str(other)
    with pytest.raises(NotFoundError, match="there is no key -nope"):
        find("-nope", tmp_path)


def test_a_key_whose_name_begins_with_a_dash_is_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ssh-keygen is given begins with a slash."""
    made = SshKeys(tmp_path)
    made.path("own").rename(tmp_path / "-Ovalid")
    (tmp_path / "own.pub").rename(tmp_path / "-Ovalid.pub")
    monkeypatch.chdir(tmp_path)
    key = keys.find("-Ovalid", str(tmp_path), keys.run_quietly)
    text = signatures.of_upload("app", "0" * 64, key)
    assert ssh_keygen.BEGIN in text


def test_an_agent_signs_with_a_public_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private key never lies on this disk; without the agent it is said why not."""
    made = SshKeys(tmp_path / "keys")
    socket = tmp_path / "agent"
    agent = subprocess.Popen(
        ("ssh-agent", "-D", "-a", str(socket)), stdout=subprocess.DEVNULL
    )
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        key = made.path("alice")
        add = ("ssh-add", "-q", str(key))
        wait.until(
            lambda: (
                subprocess.run(add, check=False, capture_output=True).returncode == 0
            ),
            "the agent to take the key",
        )
        key.rename(tmp_path / "elsewhere")
        found = keys.find("", str(tmp_path / "nobody"), _agent_only)
        text, begin, rest = signatures.of_upload("app", "0" * 64, found).partition(
            ssh_keygen.BEGIN
        )
        (tmp_path / "elsewhere").rename(key)
        signers = made.signers("alice").read_bytes()
        signer = ssh_keygen.verify(
            text, begin + rest, signers, UPLOAD_NAMESPACE, shown="signers"
        )
        assert signer.name == "alice@example"
    finally:
        agent.terminate()
        agent.wait(10)
    with pytest.raises(GaplessError, match="could not sign with"):
        signatures.of_upload("app", "0" * 64, found)


def _agent_only(words: tuple[str, ...]) -> str:
    """Run the command that asks the agent, and not git."""
    return keys.run_quietly(words) if words == AGENT else ""
