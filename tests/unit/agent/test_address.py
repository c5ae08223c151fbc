"""Where balancers reach a host and its app."""

from __future__ import annotations

import pytest

from gapless.agent.address import HostAddresses, join, split


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
    """An address that other hosts cannot reach is not reported."""
    assert HostAddresses(host="10.0.0.2").app_addresses(listening) == found


def test_what_is_said_by_hand_stands() -> None:
    """A configured address is used as it is: behind NAT no host can find it out."""
    own = HostAddresses(host="a", address="a:80")
    assert own.app_addresses(["0.0.0.0:3000"]) == ("a:80",)


def test_without_an_own_address_a_wildcard_says_nothing() -> None:
    """Without an own address no address is reported: a guess would be wrong."""
    assert HostAddresses().app_addresses(["0.0.0.0:3000"]) == ()


def test_addresses_are_taken_apart_and_put_together() -> None:
    """The brackets of an IPv6 address belong to the text, not to the host."""
    for address in ("10.0.0.2:80", "[fd00::2]:80", ":80"):
        assert join(*split(address)) == address


def test_paths_and_datagrams_are_not_for_balancers() -> None:
    """A path is reached on its own host only, and they forward TCP."""
    listening = ["unix:/run/app.sock", "udp:0.0.0.0:8125", "0.0.0.0:3000"]
    assert HostAddresses(host="10.0.0.2").app_addresses(listening) == ("10.0.0.2:3000",)
