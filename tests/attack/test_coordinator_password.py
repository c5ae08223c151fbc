"""The password of etcd: it travels to nobody else, and nobody else may have its file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.config.toml import fleets


def _fleet(
    directory: Path, url: str, mode: int = 0o600, more: str = ""
) -> fleets.Fleet:
    password = directory / "password"
    password.touch()
    password.chmod(0o600)
    password.write_text("secret\n")
    password.chmod(mode)
    path = directory / "gapless.toml"
    path.write_text(
        f'[release.a]\nbase = "{directory}"\n[rollout.a]\n[coordinator]\n'
        f'etcd = ["{url}"]\nuser = "gapless"\npassword_file = "{password}"\n{more}\n'
    )
    return fleets.load(str(path), {})["a"]


@pytest.mark.parametrize("url", ["http://10.0.0.1:2379", "http://etcd.example:2379"])
def test_the_password_is_not_sent_openly_to_another_host(
    tmp_path: Path, url: str
) -> None:
    """Unless the configuration says that it may be."""
    with pytest.raises(MisuseError, match=r"would travel to .* unencrypted"):
        _fleet(tmp_path, url)
    found = _fleet(tmp_path, url, more="insecure = true")
    assert found.etcd is not None
    assert found.etcd.password == "secret"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:2379",
        "http://[::1]:2379",
        "http://localhost:2379",
        "https://e:1",
    ],
)
def test_loopback_and_tls_carry_it(tmp_path: Path, url: str) -> None:
    """Nobody else reads there."""
    assert _fleet(tmp_path, url).etcd is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://u:p@127.0.0.1:2379",
        "http://",
        "http://h:99999",
        "http://[::1",
        "https://h\\n",
    ],
)
def test_what_is_no_endpoint_is_refused(tmp_path: Path, url: str) -> None:
    """A password in an address would be printed with it."""
    with pytest.raises(MisuseError):
        _fleet(tmp_path, url)


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o604, 0o602, 0o660, 0o601])
def test_a_password_that_others_may_have_is_refused(tmp_path: Path, mode: int) -> None:
    """As ssh refuses a key; the message says which file, and what to do."""
    with pytest.raises(MisuseError, match=f"its mode 0{mode:o} lets others have it"):
        _fleet(tmp_path, "https://e:1", mode)
    for good in (0o600, 0o400, 0o640, 0o440):
        assert _fleet(tmp_path, "https://e:1", good).etcd is not None


def test_a_password_of_another_user_a_pipe_and_a_device_are_refused(
    tmp_path: Path,
) -> None:
    """None makes the command wait; the private key of TLS is looked at as well."""
    _fleet(tmp_path, "https://e:1")
    password = tmp_path / "password"
    if os.geteuid() == 0:
        os.chown(password, 65534, 65534)
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        with pytest.raises(MisuseError, match="it belongs to the user 65534"):
            fleets.load(str(tmp_path / "gapless.toml"), {})
    password.unlink()
    os.mkfifo(password, 0o600)
    with pytest.raises(MisuseError, match="not a regular file"):
        fleets.load(str(tmp_path / "gapless.toml"), {})
    password.unlink()
    password.write_bytes(b"x" * 100_000)
    password.chmod(0o600)
    with pytest.raises(MisuseError, match="more than 65536 bytes"):
        fleets.load(str(tmp_path / "gapless.toml"), {})
    password.write_bytes(b"\xff\xfe")
    with pytest.raises(MisuseError, match="password_file"):
        fleets.load(str(tmp_path / "gapless.toml"), {})
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o644)
    with pytest.raises(MisuseError, match=r"key_file.* its mode 0644"):
        _fleet(tmp_path, "https://e:1", more=f'key_file = "{key}"')


def test_a_link_to_a_private_file_is_read(tmp_path: Path) -> None:
    """Containers get their secrets as links."""
    _fleet(tmp_path, "https://e:1")
    (tmp_path / "password").rename(tmp_path / "real")
    (tmp_path / "password").symlink_to(tmp_path / "real")
    found = fleets.load(str(tmp_path / "gapless.toml"), {})["a"]
    assert found.etcd is not None
    assert found.etcd.password == "secret"
