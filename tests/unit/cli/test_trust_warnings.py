"""What keeps signatures from being made or verified is said beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.cli.fleet import trust_warnings
from gapless.config.toml import tables
from rig.programs.ssh_keys import SshKeys


def test_a_file_is_checked_with_all_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signers, keys and publishers beside the file; ssh-keygen; what does not fit."""
    keys = SshKeys(tmp_path / "keys")
    keys.signers("alice", file="allowed")
    keys.signers("server", file="publishers")
    keys.path("server")
    file = tmp_path / "gapless.toml"
    release = '[release.a]\nbase = "dfs"\nsigners = "keys/allowed"\n'
    rollout = '[rollout.a]\npublishers = "keys/publishers"\ncopy = true\n'

    def warnings(text: str) -> tuple[str, ...]:
        file.write_text(text)
        return trust_warnings.of_file(str(file), tables.load_releases(str(file), {}))

    key = 'signing_key = "keys/server"\n'
    assert warnings(release + key + rollout) == ()
    (unsigned,) = warnings(release + rollout)
    assert "publishers without signing_key" in unsigned
    (shared,) = warnings(release + key + rollout.replace("true", "false"))
    assert "publishers without copy = true" in shared
    (tmp_path / "keys" / "server").chmod(0o644)
    (tmp_path / "keys" / "publishers").unlink()
    readable, missing = warnings(release + key + rollout)
    assert readable.startswith("a: signing_key = ")
    assert "its mode is 0644" in readable
    assert missing.startswith("a: publishers = ")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "keys" / "server").chmod(0o600)
    keys.signers("server", file="publishers")
    found = warnings(release + key + rollout)
    assert ["ssh-keygen is not installed" in each for each in found] == [True, True]
