"""Who may use the web page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.web import access, address, token_file

TOKEN = "t" * 43
NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("127.0.0.1:9470", True),
        ("127.0.0.1", True),
        ("[::1]:9470", True),
        ("localhost:9470", True),
        ("LOCALHOST.:9470", True),
        ("page.example:9470", True),
        ("rebound.example:9470", False),
        ("localhost.rebound.example", False),
        ("127.0.0.1.rebound.example", False),
        ("127.0.0.1@rebound.example", False),
        ("127.0.0.1:9470:1", False),
        ("127.0.0.1, rebound.example", False),
        ("", False),
        ("[::1", False),
        ("x" * 4000, False),
    ],
)
def test_only_own_names_are_answered(header: str, *, allowed: bool) -> None:
    """A name that was made to lead here (DNS rebinding) is none of ours."""
    assert access.is_own_host(header, ["page.example"]) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:9470", True),
        ("https://127.0.0.1:9470", True),
        ("http://127.0.0.1:3000", False),
        ("http://127.0.0.1", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:9470.evil.example", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:9470", False),
    ],
)
def test_a_post_is_of_the_page_itself(origin: str, *, allowed: bool) -> None:
    """An app on another port of the same host is another page."""
    assert access.is_own_origin(origin, "127.0.0.1:9470") is allowed


def test_a_cookie_is_good_for_a_day_and_for_its_token() -> None:
    """Nobody can make one, and none can be made to last."""
    cookie = access.cookie(TOKEN, NOW)
    assert access.is_valid_cookie(cookie, TOKEN, NOW)
    assert access.is_valid_cookie(cookie, TOKEN, NOW + access.COOKIE_S - 1)
    assert not access.is_valid_cookie(cookie, TOKEN, NOW + access.COOKIE_S)
    assert not access.is_valid_cookie(cookie, "u" * 43, NOW)
    until, _, signature = cookie.partition(".")
    longer = f"{int(until) + 1}.{signature}"
    for forged in (
        longer,
        until,
        f"{until}.",
        "",
        ".",
        "é.é",
        f"-1.{signature}",
        "9" * 99,
    ):
        assert not access.is_valid_cookie(forged, TOKEN, NOW)


def test_a_token_is_compared_whole() -> None:
    """Also where what is said is no ASCII."""
    assert access.is_same(TOKEN, TOKEN)
    for said in ("", TOKEN[:-1], f"{TOKEN}t", "\udce9", "é" * 43):
        assert not access.is_same(said, TOKEN)


def test_the_token_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    """The page of the next release knows it too."""
    path = str(tmp_path / "web.token")
    made = token_file.token(path)
    assert access.is_token(made)
    assert token_file.token(path) == made
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["web.token"]


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("short", 0o600, "it has no token"),
        ("", 0o600, "it has no token"),
        ("x" * 300, 0o600, "it has no token"),
        (f"{TOKEN} {TOKEN}", 0o600, "it has no token"),
        (TOKEN, 0o640, "others may read it"),
    ],
)
def test_a_token_that_is_none_is_refused(
    tmp_path: Path, content: str, mode: int, reason: str
) -> None:
    """A guessable token, or one that others know, protects nothing."""
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(MisuseError, match=reason):
        token_file.token(str(path))


def test_a_link_in_the_place_of_the_token_is_refused(tmp_path: Path) -> None:
    """It could lead to a file that somebody else knows."""
    (tmp_path / "real").write_text(TOKEN)
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "token").symlink_to("real")
    with pytest.raises(MisuseError, match="symbolic links"):
        token_file.token(str(tmp_path / "token"))


@pytest.mark.parametrize("where", ["0.0.0.0:0", "*:0", "[::]:0"])
def test_beyond_loopback_tls_is_needed(where: str) -> None:
    """The token would be sent in the clear."""
    with pytest.raises(MisuseError, match="in the clear"):
        address.listen(where, is_secure=False)


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    """Before anything listens."""
    (tmp_path / "cert.pem").write_text("none")
    for name in ("cert.pem", "missing.pem"):
        path = str(tmp_path / name)
        with pytest.raises(MisuseError, match=name):
            address.check_certificate(path, path)


@pytest.mark.parametrize("where", ["", "127.0.0.1", "127.0.0.1:", ":-1", ":65536"])
def test_an_address_needs_a_port(where: str) -> None:
    """What is not understood is refused, by its name."""
    with pytest.raises(MisuseError, match="no port"):
        address.split(where)


def test_a_taken_port_is_named() -> None:
    """The second page on a port says which one that is."""
    with address.listen("127.0.0.1:0", is_secure=False) as first:
        where = address.shown(first)
        with pytest.raises(MisuseError, match="in use"):
            address.listen(where, is_secure=False)
