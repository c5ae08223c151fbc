"""What tells that an app does not listen where it was told to."""

from __future__ import annotations

from typing import Any

from gapless.rehearsal.handoffs import datagram_trouble, port_trouble

DONE: dict[str, Any] = {"outcome": "done", "reason": None, "log_tail": []}


def test_an_address_outside_of_its_own_ports_is_trouble() -> None:
    """Of TCP and of UDP: the program that really has it shares it, or loses it."""

    def trouble(*addresses: str) -> str:
        return port_trouble(DONE, {"addresses": list(addresses)}, {3000: 40001})

    assert trouble("127.0.0.1:40001", "udp:[::]:40001", "unix:/run/a.sock") == ""
    assert "127.0.0.1:80," in trouble("127.0.0.1:80")
    assert "udp:0.0.0.0:5353" in trouble("127.0.0.1:40001", "udp:0.0.0.0:5353")


def test_a_port_of_udp_that_is_not_told_is_known_before_the_start() -> None:
    """Else the app of the rehearsal would take datagrams until it is found."""
    addresses = ("127.0.0.1:80", "udp:0.0.0.0:5353", "unix:/run/a.sock")
    assert "udp:0.0.0.0:5353" in datagram_trouble(addresses, [80])
    assert datagram_trouble(addresses, [5353]) == ""
    assert datagram_trouble(addresses[:1], []) == ""
