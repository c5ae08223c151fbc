"""A directory that is pushed: what looks like a secret is refused, links out of it too."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.base.errors import MisuseError
from gapless.push import packing, secrets

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)

SECRETS = {
    ".env": "A=1",
    "config/.env.production": "A=1",
    ".envrc": "export A=1",
    "deploy.env": "A=1",
    ".npmrc": "//registry.example/:_authToken=npm_0123456789\n",
    "sub/.npmrc": "_password = c2VjcmV0\n",
    ".yarnrc.yml": 'npmAuthToken: "npm_0123"\n',
    ".pypirc": "",
    ".netrc": "",
    "_netrc": "",
    ".git-credentials": "",
    ".pgpass": "",
    ".htpasswd": "",
    "id_rsa": "",
    "keys/id_ed25519_deploy": "",
    "ID_ECDSA": "",
    "tls/server.pem": f"some words\n{KEY}",
    "tls/www.example.com.key": KEY.replace("OPENSSH", "ENCRYPTED"),
    "notes.txt": KEY.replace("OPENSSH ", "").replace("\n", "\r\n"),
    "pgp.asc": KEY.replace("OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
    "putty": "PuTTY-User-Key-File-3: ssh-ed25519\n",
    "account.json": '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY"}',
    "passwords.kdbx": "",
    "client.p12": "",
    ".aws/credentials": "",
    "home/.ssh/known": "",
    ".docker/config.json": "{}",
    "config/master.key": "",
    "terraform.tfstate": "{}",
}
NO_SECRETS = {
    ".env.example": "A=",
    "example.env": "A=",
    ".env.production.sample": "A=",
    ".env-template": "A=",
    ".env.dist": "A=",
    ".npmrc": "registry=https://registry.example/\n//r/:_authToken=${NPM_TOKEN}\n",
    "sub/.npmrc": "engine-strict=true\n# _authToken=old\n",
    "id_rsa.pub": "ssh-rsa AAAA",
    ".ssh/id_ed25519.pub": "ssh-ed25519 AAAA",
    "id_map.json": "{}",
    "tls/ca.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "key.pem.sample": KEY,
    "lib/crypto.js": "const begin = '-----BEGIN RSA PRIVATE KEY-----\\n';\n",
    "README.md": "put `-----BEGIN PRIVATE KEY-----` there\n",
    "environment.ts": "export const x = 1",
    "src/env.js": "",
    "public.key": "not one",
}


def _tree(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _pack(
    directory: Path, *, everything: bool = False, with_secrets: bool = False
) -> list[str]:
    target = io.BytesIO()
    rules = packing.ignore_rules_of(str(directory), everything=everything)
    packing.pack(str(directory), "app", target, rules, with_secrets=with_secrets)
    target.seek(0)
    with tarfile.open(fileobj=target) as archive:
        return [each.name.removeprefix("app/") for each in archive if each.isfile()]


def test_what_looks_like_a_secret_is_refused_by_name(tmp_path: Path) -> None:
    """All of them at once, and what to do; nothing is packed."""
    for name, text in SECRETS.items():
        directory = tmp_path / name.replace("/", "-")
        _tree(directory, {"index.js": "", name: text})
        with pytest.raises(MisuseError, match="look like secrets") as caught:
            _pack(directory)
        assert f"\n  {name}: " in caught.value.message
        assert "--with-secrets" in caught.value.hint
        assert name in _pack(directory, with_secrets=True)


def test_what_only_shows_how_is_packed_as_before(tmp_path: Path) -> None:
    """A directory that was pushed for years is pushed today."""
    _tree(tmp_path, NO_SECRETS)
    assert set(_pack(tmp_path)) == set(NO_SECRETS)


@pytest.mark.parametrize("everything", [False, True])
def test_a_line_that_names_a_file_takes_it_in(
    tmp_path: Path, *, everything: bool
) -> None:
    """A wildcard names nothing, and --include-everything does not either."""
    files = {"a.js": "", ".env": "A=1", "tls/key.pem": KEY}
    _tree(tmp_path, files)
    rules = tmp_path / ".gaplessignore"
    for lines in ("", "!*\n", "!.e*\n", "!**/key.pem\n!.env\n"):
        rules.write_text(lines)
        with pytest.raises(MisuseError, match="look like secrets"):
            _pack(tmp_path, everything=everything)
    rules.write_text("!.env\n!/tls/\n")
    assert set(files) <= set(_pack(tmp_path, everything=everything))
    if not everything:
        rules.write_text(".env\ntls/\n")
        assert _pack(tmp_path) == ["a.js"]


def test_a_link_is_never_followed_out_of_the_directory(tmp_path: Path) -> None:
    """Also one that takes the place of a file while it is packed."""
    outside = tmp_path / "outside"
    outside.write_text("secret")
    directory = tmp_path / "app"
    _tree(directory, {"a": "a", "b": "b"})
    (directory / "link").symlink_to("../outside")
    with pytest.raises(MisuseError, match="link is a link out of the directory"):
        _pack(directory)
    (directory / "link").unlink()
    rules = packing.ignore_rules_of(str(directory), everything=False)
    walk = packing._walk

    def swapping(*words: object) -> object:
        yield from walk(*words)  # type: ignore[arg-type]  # what it was called with
        (directory / "b").unlink()
        (directory / "b").symlink_to(outside)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_walk", swapping)
        with pytest.raises(OSError, match="symbolic links"):
            packing.pack(str(directory), "app", io.BytesIO(), rules)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_name_and_any_bytes_are_looked_at(head: bytes, name: str) -> None:
    """Nothing that a file can be called or hold ends a push."""
    assert isinstance(secrets.reason_by_name(name), str)
    assert isinstance(secrets.reason_by_content(name, head), str)


def test_looking_at_a_long_line_takes_no_time() -> None:
    """No pattern goes back over what it has seen."""
    for piece in (
        b"_auth",
        b"-----BEGIN ",
        b"AGE-SECRET-KEY-1",
        b"a=",
        b'"private_key" ',
    ):
        secrets.reason_by_content(".npmrc", piece * (secrets.HEAD_BYTES // len(piece)))
        secrets.reason_by_content("x", piece * (secrets.HEAD_BYTES // len(piece)))
