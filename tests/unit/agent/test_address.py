"""Where a host is reached, as its agent tells it."""

from __future__ import annotations

import pytest

from gapless.agent.address import (
    Presence,
    join,
    seen,
    split,
)
from gapless.rollout.model import HostReport

LISTED = {
    "supervisor": {"draining": True},
    "apps": [{"name": "app", "addresses": ["0.0.0.0:3000"], "recycles": True}],
}


@pytest.mark.parametrize(
    ("listening", "found"),
    [
        (["0.0.0.0:3000", "[::]:3000"], ("10.0.0.2:3000",)),
        (["10.9.9.9:3000"], ("10.9.9.9:3000",)),
        (["127.0.0.1:3000", "[::1]:3000"], ()),
        (["0.0.0.0:3001", "0.0.0.0:3000"], ("10.0.0.2:3000", "10.0.0.2:3001")),
        (["[fd00::2]:3000"], ("[fd00::2]:3000",)),
    ],
)
def test_a_wildcard_is_the_host_and_loopback_is_nobody(
    listening: list[str], found: tuple[str, ...]
) -> None:
    """What others cannot reach is not told to them."""
    assert Presence(host="10.0.0.2").addresses(listening) == found


def test_what_is_said_by_hand_stands() -> None:
    """Behind a translation of addresses nobody can find it out."""
    presence = Presence(host="a", address="a:80")
    assert presence.addresses(["0.0.0.0:3000"]) == ("a:80",)


def test_without_an_own_address_a_wildcard_says_nothing() -> None:
    """A guess would be an address of nobody."""
    assert Presence().addresses(["0.0.0.0:3000"]) == ()


def test_a_look_is_told_and_addresses_are_remembered() -> None:
    """An app that is stopped for a while keeps its place in the pool."""
    presence = Presence(host="10.0.0.2", health="10.0.0.2:3001")
    report = seen(HostReport(host="a"), LISTED, "app", presence)
    assert report.addresses == ("10.0.0.2:3000",)
    assert report.drains
    assert report.recycles
    assert report.health == "10.0.0.2:3001"
    report = seen(
        report, {"supervisor": {"draining": False}, "apps": []}, "app", presence
    )
    assert report.addresses == ("10.0.0.2:3000",)
    assert not report.drains
    assert seen(report, None, "app", presence).addresses == ("10.0.0.2:3000",)


def test_addresses_are_taken_apart_and_put_together() -> None:
    """Brackets belong to the text, not to the host."""
    for address in ("10.0.0.2:80", "[fd00::2]:80", ":80"):
        assert join(*split(address)) == address
