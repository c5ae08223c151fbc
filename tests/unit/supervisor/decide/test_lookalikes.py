"""Which addresses an instance lacks, when paths have made-up words in them."""

from __future__ import annotations

import pytest

from gapless.supervisor.decide.lookalikes import without_like


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:/run/app-1234.sock", "unix:/run/app-88.sock"),
        ("unix:/srv/20261129101112/app.sock", "unix:/srv/20261130101112/app.sock"),
        ("unix:/tmp/mux.a8Kd2f/s", "unix:/tmp/mux.Zk39xq/s"),
        ("udp:0.0.0.0:50123", "udp:0.0.0.0:51777"),
    ],
)
def test_what_looks_alike_is_not_missed(before: str, now: str) -> None:
    """The number of a process, a release, letters drawn at random."""
    assert not without_like({before}, {now})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("unix:/run/app.sock", "unix:/run/admin.sock"),
        ("unix:/run/app.sock", "unix:/run/app.sock2/x"),
        ("127.0.0.1:8000", "127.0.0.1:8001"),
        ("unix:/run/app.sock", ""),
    ],
)
def test_other_addresses_are_missed(before: str, now: str) -> None:
    """Ports of TCP are what they are; and one path does not stand for another."""
    assert without_like({before}, {now} - {""}) == {before}


def test_one_that_is_asked_for_stands_for_itself_only() -> None:
    """Two of three sockets of a kind are not all three."""
    three = {f"unix:/run/app-{n}.sock" for n in (1, 2, 3)}
    assert without_like(three, {"unix:/run/app-1.sock"}) == three - {
        "unix:/run/app-1.sock"
    }
